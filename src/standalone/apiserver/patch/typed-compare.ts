import type { Json, JsonObject, StructuralSchema } from '../kind.ts';
import { isJsonObject, jsonEqual } from '../schema/walk.ts';
import { emptySet, insertPath, type FieldSet } from './field-set.ts';
import { childSchema, itemsByElement, shapeOf } from './typed-value.ts';

/** The paths at which two objects differ. Objects and lists that come or go count along with what they hold. */
export interface Comparison {
  readonly added: FieldSet;
  readonly removed: FieldSet;
  readonly modified: FieldSet;
}

/** Compares two objects by their schema. Throws UntypedError where list items have no keys. */
export function compare(schema: StructuralSchema, before: Json, after: Json): Comparison {
  const result: Comparison = { added: emptySet(), removed: emptySet(), modified: emptySet() };
  walk(result, [], schema, before, after);
  return result;
}

const isHollow = (value: Json | undefined): boolean =>
  value === undefined ||
  value === null ||
  (Array.isArray(value) ? value.length === 0 : isJsonObject(value) && Object.keys(value).length === 0);

function walk(
  result: Comparison,
  path: string[],
  schema: StructuralSchema | undefined,
  before: Json | undefined,
  after: Json | undefined,
): void {
  if (before === after) return;
  if (path.length > 0) {
    if (before === undefined) insertPath(result.added, path);
    else if (after === undefined) insertPath(result.removed, path);
  }
  const shape = shapeOf(schema, after ?? before);
  const other = before === undefined || after === undefined ? shape : shapeOf(schema, before);
  // Empty and null are told apart like values: there is nothing below to tell them apart by.
  if (shape === 'leaf' || shape !== other || (isHollow(before) && isHollow(after))) {
    if (before !== undefined && after !== undefined && !jsonEqual(before, after))
      insertPath(result.modified, path);
    if (shape === other || before === undefined || after === undefined) return;
    // What was below a value of another shape is gone, what is below the new one is new.
    descend(result, path, schema, before, undefined);
    descend(result, path, schema, undefined, after);
    return;
  }
  descend(result, path, schema, before, after);
}

function descend(
  result: Comparison,
  path: string[],
  schema: StructuralSchema | undefined,
  before: Json | undefined,
  after: Json | undefined,
): void {
  const step = (
    element: string,
    own: StructuralSchema | undefined,
    a: Json | undefined,
    b: Json | undefined,
  ) => {
    path.push(element);
    walk(result, path, own, a, b);
    path.pop();
  };
  const shape = shapeOf(schema, after ?? before);
  if (shape === 'map') {
    const left = (before ?? {}) as JsonObject;
    const right = (after ?? {}) as JsonObject;
    for (const field of Object.keys(left))
      step(`f:${field}`, childSchema(schema, field), left[field], right[field]);
    for (const field of Object.keys(right))
      if (left[field] === undefined) step(`f:${field}`, childSchema(schema, field), undefined, right[field]);
  } else if (shape === 'list') {
    const left = itemsByElement(schema, (before ?? []) as Json[]);
    const right = itemsByElement(schema, (after ?? []) as Json[]);
    for (const element of new Set([...left.keys(), ...right.keys()])) {
      const a = left.get(element);
      const b = right.get(element);
      const isOne = (a?.length ?? 1) === 1 && (b?.length ?? 1) === 1;
      // Items that cannot be told apart are compared together, as one value.
      if (isOne) step(element, schema?.items, a?.[0], b?.[0]);
      else step(element, undefined, a, b);
    }
  }
}

import type { Json, JsonObject, StructuralSchema } from '../kind.ts';
import { fieldSchemaOf, isJsonObject } from '../schema/walk.ts';
import { elementText, emptySet, isEmptySet, type FieldSet } from './field-set.ts';

/** An object that cannot be looked at by its schema: its list items cannot be told apart. */
export class UntypedError extends Error {
  override readonly name = 'UntypedError';
}

/** How an apply sees a value: as a whole, by its fields, or by its items. No schema means: as it looks. */
export type Shape = 'leaf' | 'map' | 'list';

export function shapeOf(schema: StructuralSchema | undefined, value: Json | undefined): Shape {
  if (Array.isArray(value)) {
    const type = schema?.['x-kubernetes-list-type'];
    return type === 'map' || type === 'set' ? 'list' : 'leaf';
  }
  if (!isJsonObject(value)) return 'leaf';
  return schema?.['x-kubernetes-map-type'] === 'atomic' ? 'leaf' : 'map';
}

/** Whether a field is one of the type's own, not a key of a map. */
export const isDeclared = (schema: StructuralSchema | undefined, field: string): boolean =>
  schema?.properties !== undefined && Object.hasOwn(schema.properties, field);

export const childSchema = (
  schema: StructuralSchema | undefined,
  field: string,
): StructuralSchema | undefined => schema && fieldSchemaOf(schema, field);

/** The path element of a list item. Keys that are left out count as their defaults. */
export function itemElement(schema: StructuralSchema | undefined, item: Json, index: number): string {
  if (schema?.['x-kubernetes-list-type'] !== 'map') return `v:${JSON.stringify(item)}`;
  if (!isJsonObject(item))
    throw new UntypedError(`element ${index}: associative list with keys may not have non-map elements`);
  const id: JsonObject = {};
  for (const key of [...(schema['x-kubernetes-list-map-keys'] ?? [])].sort()) {
    const value = item[key] ?? schema.items?.properties?.[key]?.default;
    if (value === undefined)
      throw new UntypedError(
        `element ${index}: associative list with keys has an element that omits key field ${JSON.stringify(key)} (and doesn't have default value)`,
      );
    id[key] = value;
  }
  return `k:${JSON.stringify(id)}`;
}

/** The items of a list by their path elements, in order; several where the list holds the same one twice. */
export function itemsByElement(
  schema: StructuralSchema | undefined,
  list: readonly Json[],
): Map<string, Json[]> {
  const items = new Map<string, Json[]>();
  list.forEach((item, i) => {
    const element = itemElement(schema, item, i);
    const same = items.get(element);
    if (same) same.push(item);
    else items.set(element, [item]);
  });
  return items;
}

/**
 * The paths that an applied object claims: its leaves, the keys of maps, the items of lists. Fields of a type
 * that hold others are not claimed themselves. A list that holds one item twice throws UntypedError.
 */
export function claimedFields(schema: StructuralSchema | undefined, value: Json, path = ''): FieldSet {
  const shape = shapeOf(schema, value);
  if (shape === 'leaf') return emptySet(true);
  const set = emptySet();
  if (shape === 'map') {
    for (const [field, child] of Object.entries(value as JsonObject)) {
      const own = claimedFields(childSchema(schema, field), child, `${path}.${field}`);
      const isEmptyMap = isJsonObject(child) && Object.keys(child).length === 0;
      if (isEmptyMap || !isDeclared(schema, field)) own.owned = true;
      if (!isEmptySet(own)) set.children.set(`f:${field}`, own);
    }
    return set;
  }
  (value as Json[]).forEach((item, i) => {
    const element = elementAt(schema, item, i, path);
    if (set.children.has(element))
      throw new UntypedError(`${path}: duplicate entries for key ${elementText(element)}`);
    const own = claimedFields(schema?.items, item, path + elementText(element));
    own.owned = true;
    set.children.set(element, own);
  });
  return set;
}

function elementAt(schema: StructuralSchema | undefined, item: Json, index: number, path: string): string {
  try {
    return itemElement(schema, item, index);
  } catch (error) {
    throw new UntypedError(`${path}: ${(error as Error).message}`, { cause: error });
  }
}

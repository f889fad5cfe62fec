import type { Json, JsonObject } from '../kind.ts';
import { isJsonObject } from '../schema/walk.ts';

/**
 * A set of paths into an object, as a tree. Children are keyed by path elements in the notation of fieldsV1:
 * `f:name` a field, `k:{"name":"c"}` a list item by its keys, `v:"x"` a list item by its value, `i:0` by index.
 */
export interface FieldSet {
  /** Whether the path that leads here is in the set itself, not only longer ones. */
  owned: boolean;
  readonly children: Map<string, FieldSet>;
}

export const emptySet = (owned = false): FieldSet => ({ owned, children: new Map() });

export const isEmptySet = (set: FieldSet): boolean => !set.owned && set.children.size === 0;

/** Adds one path. */
export function insertPath(set: FieldSet, path: readonly string[]): void {
  let at = set;
  for (const element of path) {
    let next = at.children.get(element);
    if (!next) at.children.set(element, (next = emptySet()));
    at = next;
  }
  at.owned = true;
}

export function union(a: FieldSet, b: FieldSet): FieldSet {
  if (isEmptySet(a)) return b;
  if (isEmptySet(b)) return a;
  const children = new Map(a.children);
  for (const [element, child] of b.children) {
    const other = children.get(element);
    children.set(element, other ? union(other, child) : child);
  }
  return { owned: a.owned || b.owned, children };
}

/** The paths of `a` that are not in `b`. Paths below one that is in `b` stay. */
export function difference(a: FieldSet, b: FieldSet): FieldSet {
  if (isEmptySet(b)) return a;
  const children = new Map<string, FieldSet>();
  for (const [element, child] of a.children) {
    const other = b.children.get(element);
    const left = other ? difference(child, other) : child;
    if (!isEmptySet(left)) children.set(element, left);
  }
  return { owned: a.owned && !b.owned, children };
}

export function intersection(a: FieldSet, b: FieldSet): FieldSet {
  const children = new Map<string, FieldSet>();
  for (const [element, child] of a.children) {
    const other = b.children.get(element);
    const both = other && intersection(child, other);
    if (both && !isEmptySet(both)) children.set(element, both);
  }
  return { owned: a.owned && b.owned, children };
}

export function equalSets(a: FieldSet, b: FieldSet): boolean {
  if (a === b) return true;
  if (a.owned !== b.owned || a.children.size !== b.children.size) return false;
  for (const [element, child] of a.children) {
    const other = b.children.get(element);
    if (!other || !equalSets(child, other)) return false;
  }
  return true;
}

/** The set as `metadata.managedFields[].fieldsV1` has it. */
export function toFieldsV1(set: FieldSet): JsonObject {
  const result: JsonObject = {};
  if (set.owned && set.children.size > 0) result['.'] = {};
  for (const element of [...set.children.keys()].sort())
    result[element] = toFieldsV1(set.children.get(element) as FieldSet);
  return result;
}

const maxDepth = 200;

/** Reads a fieldsV1; undefined where it is not one. */
export function fromFieldsV1(fields: Json | undefined): FieldSet | undefined {
  const root = read(fields, 0);
  if (root) root.owned = false;
  return root;
}

function read(fields: Json | undefined, depth: number): FieldSet | undefined {
  if (!isJsonObject(fields) || depth > maxDepth) return undefined;
  const keys = Object.keys(fields);
  // An empty object is a leaf; one with a dot is in the set together with what is below it.
  const set = emptySet(keys.length === 0);
  for (const key of keys) {
    if (key === '.') {
      set.owned = true;
      continue;
    }
    if (!/^[fkvi]:/.test(key)) return undefined;
    const child = read(fields[key], depth + 1);
    if (!child) return undefined;
    set.children.set(key, child);
  }
  return set;
}

/** All paths of a set as messages show them, in order: `.spec.containers[name="c"].image`. */
export function pathTexts(set: FieldSet, prefix = ''): string[] {
  const own = set.owned && prefix !== '' ? [prefix] : [];
  const elements = [...set.children.keys()].sort();
  return own.concat(
    elements.flatMap((element) =>
      pathTexts(set.children.get(element) as FieldSet, prefix + elementText(element)),
    ),
  );
}

/** One path element as messages show it. */
export function elementText(element: string): string {
  const rest = element.slice(2);
  if (element.startsWith('f:')) return `.${rest}`;
  if (element.startsWith('v:')) return `[=${rest}]`;
  if (element.startsWith('i:')) return `[${rest}]`;
  const keys = Object.entries(JSON.parse(rest) as JsonObject);
  return `[${keys.map(([key, value]) => `${key}=${JSON.stringify(value)}`).join(',')}]`;
}

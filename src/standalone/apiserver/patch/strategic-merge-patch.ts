import type { Json, JsonObject, StructuralSchema } from '../kind.ts';
import { fieldSchemaOf, isJsonObject, jsonEqual } from '../schema/walk.ts';

const deletePrimitives = '$deleteFromPrimitiveList/';
const setOrder = '$setElementOrder/';

/**
 * What a strategic merge patch makes of `doc`: lists merge by the keys that the schema names, and the
 * directives `$patch`, `$retainKeys`, `$deleteFromPrimitiveList/x` and `$setElementOrder/x` are followed.
 * Throws an Error that names the field where a patch makes no sense. `doc` is not touched.
 */
export function strategicMergePatch(doc: Json, patch: Json, schema: StructuralSchema): Json {
  if (!isJsonObject(patch)) return patch;
  return mergeObject(isJsonObject(doc) ? doc : {}, patch, schema);
}

function mergeObject(doc: JsonObject, patch: JsonObject, schema: StructuralSchema | undefined): JsonObject {
  const directive = patch['$patch'];
  if (directive === 'delete') return {};
  if (directive === 'replace') return withoutDirectives(patch) as JsonObject;
  if (directive !== undefined && directive !== 'merge')
    throw new Error(`Unknown patch type: ${JSON.stringify(directive)}`);
  const result: JsonObject = { ...doc };
  retainKeys(result, patch);
  const fields = new Set(
    Object.keys(patch)
      .map(fieldOf)
      .filter((field) => field !== ''),
  );
  for (const field of fields) {
    const own = schema && fieldSchemaOf(schema, field);
    const value = patch[field];
    if (value === null) delete result[field];
    else if (Array.isArray(value) || patch[deletePrimitives + field] || patch[setOrder + field])
      mergeListField(result, patch, field, own);
    else if (isJsonObject(value) && own?.['x-kubernetes-patch-strategy'] !== 'replace') {
      const before = result[field];
      result[field] = mergeObject(isJsonObject(before) ? before : {}, value, own);
    } else if (value !== undefined) result[field] = withoutDirectives(value);
  }
  return result;
}

/** The field that a key of a patch is about; empty for a directive about the whole object. */
function fieldOf(key: string): string {
  if (key.startsWith(deletePrimitives)) return key.slice(deletePrimitives.length);
  if (key.startsWith(setOrder)) return key.slice(setOrder.length);
  return key === '$patch' || key === '$retainKeys' ? '' : key;
}

function retainKeys(result: JsonObject, patch: JsonObject): void {
  const keep = patch['$retainKeys'];
  if (keep === undefined) return;
  if (!Array.isArray(keep)) throw new Error('$retainKeys must be a list');
  for (const field of Object.keys(result)) if (!keep.includes(field)) delete result[field];
}

function mergeListField(
  result: JsonObject,
  patch: JsonObject,
  field: string,
  schema: StructuralSchema | undefined,
): void {
  const value = patch[field];
  const changes = Array.isArray(value) ? value : [];
  const before = Array.isArray(result[field]) ? (result[field] as Json[]) : [];
  const order = patch[setOrder + field];
  const removed = patch[deletePrimitives + field];
  const merges = schema?.['x-kubernetes-patch-strategy']?.split(',').includes('merge') ?? false;
  const key = schema?.['x-kubernetes-patch-merge-key'];
  let items: Json[];
  if (!merges) items = changes.map(withoutDirectives);
  else if (key) items = mergeByKey(before, changes, key, schema?.items);
  else items = mergePrimitives(before, changes, Array.isArray(removed) ? removed : []);
  result[field] = Array.isArray(order) && merges ? ordered(items, order, key) : items;
}

function mergePrimitives(before: Json[], changes: Json[], removed: Json[]): Json[] {
  const kept = before.filter((item) => !removed.some((gone) => jsonEqual(gone, item)));
  for (const item of changes) if (!kept.some((other) => jsonEqual(other, item))) kept.push(item);
  return kept;
}

function mergeByKey(
  before: Json[],
  changes: Json[],
  key: string,
  items: StructuralSchema | undefined,
): Json[] {
  const replaces = changes.some((c) => isJsonObject(c) && c['$patch'] === 'replace');
  let result: Json[] = replaces ? [] : [...before];
  for (const change of changes) {
    if (!isJsonObject(change)) throw new Error(`a list merged by ${key} holds only objects`);
    const isBareReplace = change['$patch'] === 'replace' && Object.keys(change).length === 1;
    if (isBareReplace) continue;
    const id = change[key];
    if (id === undefined)
      throw new Error(`map: ${JSON.stringify(change)} does not contain declared merge key: ${key}`);
    const same = (item: Json) => isJsonObject(item) && jsonEqual(item[key], id);
    if (change['$patch'] === 'delete') result = result.filter((item) => !same(item));
    else {
      const at = result.findIndex(same);
      const merged = mergeObject(at < 0 ? {} : (result[at] as JsonObject), change, items);
      if (at < 0) result.push(merged);
      else result[at] = merged;
    }
  }
  return result;
}

/** The items in the order asked for; those it does not name stay behind the one they followed. */
function ordered(items: Json[], order: Json[], key: string | undefined): Json[] {
  const idOf = (item: Json): Json | undefined => (key && isJsonObject(item) ? item[key] : item);
  const rank = (item: Json) => order.findIndex((wanted) => jsonEqual(idOf(wanted), idOf(item)));
  const named = items.filter((item) => rank(item) >= 0).sort((a, b) => rank(a) - rank(b));
  const result = [...named];
  items.forEach((item, i) => {
    if (rank(item) >= 0) return;
    const previous = i === 0 ? -1 : result.indexOf(items[i - 1] as Json);
    result.splice(previous + 1, 0, item);
  });
  return result;
}

/** A value that is new: directives in it have nothing to act on. */
function withoutDirectives(value: Json): Json {
  if (Array.isArray(value))
    return value
      .filter((item) => !(isJsonObject(item) && item['$patch'] !== undefined && item['$patch'] !== 'merge'))
      .map(withoutDirectives);
  if (!isJsonObject(value)) return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([field, child]) => !field.startsWith('$') && child !== null)
      .map(([field, child]) => [field, withoutDirectives(child)]),
  );
}

import type { Json, JsonObject } from '../kind.ts';
import { isJsonObject } from '../schema/walk.ts';

/** What RFC 7386 makes of `doc`: null removes a field, an object merges, anything else replaces. */
export function mergePatch(doc: Json, patch: Json): Json {
  if (!isJsonObject(patch)) return patch;
  const result: JsonObject = isJsonObject(doc) ? { ...doc } : {};
  for (const [field, value] of Object.entries(patch)) {
    if (value === null) delete result[field];
    else result[field] = mergePatch(result[field] ?? null, value);
  }
  return result;
}

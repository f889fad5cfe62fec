import type { Json, JsonObject } from '../../kind.ts';
const isO = (v: unknown): v is JsonObject => typeof v === 'object' && v !== null && !Array.isArray(v);
export function mergePatch(doc: Json, patch: Json): Json {
  if (!isO(patch)) return patch;
  const out: JsonObject = isO(doc) ? { ...doc } : {};
  for (const [k, v] of Object.entries(patch)) {
    if (v === null) delete out[k];
    else out[k] = mergePatch(out[k] ?? null, v);
  }
  return out;
}

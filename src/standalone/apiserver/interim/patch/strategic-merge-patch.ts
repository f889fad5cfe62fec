import type { Json, JsonObject, StructuralSchema } from '../../kind.ts';
const isO = (v: unknown): v is JsonObject => typeof v === 'object' && v !== null && !Array.isArray(v);
const keys: Record<string, string[]> = {
  ports: ['containerPort', 'port'],
  conditions: ['type'],
  ownerReferences: ['uid'],
  volumeMounts: ['mountPath'],
  addresses: ['type'],
  containers: ['name'],
  initContainers: ['name'],
  volumes: ['name'],
  env: ['name'],
  imagePullSecrets: ['name'],
  secrets: ['name'],
  hostAliases: ['ip'],
  volumeDevices: ['devicePath'],
};
function mergeList(name: string, live: Json[], patch: Json[]): Json[] {
  if (name === 'finalizers') return [...live, ...patch.filter((x) => !live.includes(x))];
  const key = (keys[name] ?? []).find((k) => patch.every((x) => isO(x) && x[k] !== undefined));
  if (key === undefined) return patch;
  const result = [...live];
  for (const item of patch as JsonObject[]) {
    const at = result.findIndex((x) => isO(x) && x[key] === item[key]);
    if (item['$patch'] === 'delete') {
      if (at >= 0) result.splice(at, 1);
    } else if (at >= 0) result[at] = merge(result[at] as Json, item);
    else result.push(merge({}, item));
  }
  return result;
}
function merge(doc: Json, patch: Json): Json {
  if (!isO(patch)) return patch;
  if (patch['$patch'] === 'replace') {
    const { $patch: _drop, ...rest } = patch;
    return rest;
  }
  const out: JsonObject = isO(doc) ? { ...doc } : {};
  for (const [k, v] of Object.entries(patch)) {
    if (k.startsWith('$deleteFromPrimitiveList/')) {
      const n = k.slice(25);
      out[n] = ((out[n] ?? []) as Json[]).filter((x) => !(v as Json[]).includes(x));
    } else if (k.startsWith('$')) continue;
    else if (v === null) delete out[k];
    else if (Array.isArray(v)) out[k] = mergeList(k, (Array.isArray(out[k]) ? out[k] : []) as Json[], v);
    else out[k] = merge(out[k] ?? null, v);
  }
  return out;
}
export const strategicMergePatch = (doc: Json, patch: Json, _schema: StructuralSchema): Json =>
  merge(doc, patch);

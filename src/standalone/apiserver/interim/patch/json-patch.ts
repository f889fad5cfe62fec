import type { Json } from '../../kind.ts';
export function jsonPatch(doc: Json, ops: Json[]): Json {
  type C = Record<string, Json> | Json[];
  for (const op of ops as unknown as { op: string; path: string; value: Json; from: string }[]) {
    const parts = op.path
      .split('/')
      .slice(1)
      .map((p) => p.replaceAll('~1', '/').replaceAll('~0', '~'));
    let at = doc as C;
    for (const part of parts.slice(0, -1)) at = (at as Record<string, Json>)[part] as C;
    const last = parts.at(-1) as string;
    if (at === undefined) throw new Error(`path ${op.path} is missing`);
    if (op.op === 'test') {
      if (JSON.stringify((at as Record<string, Json>)[last]) !== JSON.stringify(op.value))
        throw new Error(`testing value ${op.path} failed`);
    } else if (op.op === 'remove') {
      if (Array.isArray(at)) at.splice(Number(last), 1);
      else delete at[last];
    } else if (Array.isArray(at)) {
      if (op.op === 'add') at.splice(last === '-' ? at.length : Number(last), 0, op.value);
      else at[Number(last)] = op.value;
    } else at[last] = op.value;
  }
  return doc;
}

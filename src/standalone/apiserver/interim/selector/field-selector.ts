import type { ApiObject } from '../../kind.ts';
const at = (o: unknown, p: string): string => {
  let v = o;
  for (const k of p.split('.')) v = (v as Record<string, unknown> | undefined)?.[k];
  return v === undefined || v === null ? '' : String(v as string);
};
export function parseFieldSelector(
  text: string,
  allowed: readonly string[],
): { matches(object: ApiObject): boolean } {
  const terms = text
    .split(',')
    .filter((t) => t !== '')
    .map((t) => {
      const not = t.includes('!=');
      const [k = '', v = ''] = t.split(/!=|==?/);
      if (k !== 'metadata.name' && k !== 'metadata.namespace' && !allowed.includes(k))
        throw new Error(`field label not supported: ${k}`);
      return (o: ApiObject) => (at(o, k) === v) !== not;
    });
  return { matches: (o) => terms.every((f) => f(o)) };
}

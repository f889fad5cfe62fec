/**
 * Names the fields of a spec that this release does not act on. `honoured` lists paths as
 * `mon.count`, `storage.nodes[].name`, `cephConfig.**` (all below); a value that is off, empty or what
 * happens anyway is not worth a word, so `false`, '', null, [] and {} are left out.
 */
export function fieldsNotHonoured(
  spec: unknown,
  honoured: readonly string[],
  harmless: Readonly<Record<string, readonly unknown[]>> = {},
): string[] {
  const exact = new Set(honoured.filter((path) => !path.endsWith('.**')));
  const whole = honoured.filter((path) => path.endsWith('.**')).map((path) => path.slice(0, -3));
  const found = new Set<string>();
  const below = (path: string) =>
    [...exact, ...whole].some((known) => known.startsWith(`${path}.`) || known.startsWith(`${path}[]`));

  const walk = (value: unknown, path: string) => {
    if (isNothing(value)) return;
    if (
      whole.some((known) => path === known || path.startsWith(`${known}.`) || path.startsWith(`${known}[]`))
    )
      return;
    if (harmless[path]?.includes(value)) return;
    if (exact.has(path) && !below(path)) return;
    if (Array.isArray(value)) {
      if (exact.has(path) || below(path)) for (const item of value) walk(item, `${path}[]`);
      else found.add(path);
      return;
    }
    if (typeof value === 'object' && value !== null) {
      for (const [key, item] of Object.entries(value)) walk(item, path === '' ? key : `${path}.${key}`);
      return;
    }
    if (!exact.has(path)) found.add(path);
  };
  walk(spec, '');
  return [...found].sort();
}

function isNothing(value: unknown): boolean {
  if (value === undefined || value === null || value === false || value === '') return true;
  if (typeof value !== 'object') return false;
  // A tree with nothing in it says nothing.
  return Object.values(value).every(isNothing);
}

/** `spec.a, spec.b and 3 more`: at most `limit` names, so that a message stays readable. */
export function nameFields(paths: readonly string[], limit = 20): string {
  const shown = paths.slice(0, limit).map((path) => `spec.${path}`);
  const rest = paths.length - shown.length;
  return rest > 0 ? `${shown.join(', ')} and ${rest} more` : shown.join(', ');
}

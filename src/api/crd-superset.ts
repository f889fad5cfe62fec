import { fieldPaths } from './ceph/crd.ts';

type Json = Record<string, unknown>;

interface Definition {
  spec?: { versions?: readonly { name?: string; schema?: { openAPIV3Schema?: unknown } }[] };
}

/**
 * What an installed CustomResourceDefinition has and ours lacks: versions and field paths, such as
 * `v1.spec.mon.count`. Where there is any, ours must not replace it: the API would prune those fields.
 */
export function lostByReplacing(installed: object, ours: object): string[] {
  const there = versionsOf(installed);
  const wanted = versionsOf(ours);
  const lost: string[] = [];
  for (const [version, paths] of there) {
    const own = wanted.get(version);
    if (!own) lost.push(version);
    else for (const path of paths) if (!own.has(path)) lost.push(`${version}${path}`);
  }
  return lost;
}

function versionsOf(definition: object): Map<string, Set<string>> {
  const versions = (definition as Definition).spec?.versions ?? [];
  return new Map(
    versions.map(({ name = '', schema }) => [
      name,
      new Set(fieldPaths((schema?.openAPIV3Schema ?? {}) as Json)),
    ]),
  );
}

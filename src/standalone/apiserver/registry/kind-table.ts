import type { KindInfo } from '../kind.ts';

/** The kinds served now: built-in ones and those of CRDs. */
export interface KindTable {
  find(group: string, version: string, plural: string): KindInfo | undefined;
  /** By what an object says of itself. */
  byKind(apiVersion: string, kind: string): KindInfo | undefined;
  /** Some served version of a resource. */
  anyVersion(group: string, plural: string): KindInfo | undefined;
  /** Groups and versions, preferred version first, `''` first. */
  all(): readonly KindInfo[];
  /** Replaces the kinds that one CRD (by its name) brings; none takes them away. */
  setCustom(source: string, kinds: readonly KindInfo[]): void;
  /** Changes with every change of the kinds: what discovery and OpenAPI hang their caches on. */
  readonly generation: number;
}

export const apiVersionOf = (kind: Pick<KindInfo, 'group' | 'version'>): string =>
  kind.group === '' ? kind.version : `${kind.group}/${kind.version}`;

/** Kubernetes' order of versions: v2 before v1 before v1beta2 before v1beta1 before v1alpha1 before others. */
export function compareVersions(a: string, b: string): number {
  const rank = (version: string) => {
    const match = /^v(\d+)(?:(alpha|beta)(\d+))?$/.exec(version);
    if (!match) return [-1, 0, 0] as const;
    const stage = match[2] === undefined ? 2 : match[2] === 'beta' ? 1 : 0;
    return [stage, Number(match[1]), Number(match[3] ?? 0)] as const;
  };
  const [left, right] = [rank(a), rank(b)];
  for (let i = 0; i < 3; i++) if (left[i] !== right[i]) return (right[i] as number) - (left[i] as number);
  return a < b ? -1 : a > b ? 1 : 0;
}

export function kindTable(builtin: readonly KindInfo[]): KindTable {
  const custom = new Map<string, readonly KindInfo[]>();
  let kinds: readonly KindInfo[] = [];
  let byPath = new Map<string, KindInfo>();
  let byType = new Map<string, KindInfo>();
  let generation = 0;

  function rebuild(): void {
    kinds = [...builtin, ...[...custom.values()].flat()].toSorted(
      (a, b) =>
        (a.group < b.group ? -1 : a.group > b.group ? 1 : 0) ||
        compareVersions(a.version, b.version) ||
        (a.plural < b.plural ? -1 : a.plural > b.plural ? 1 : 0),
    );
    byPath = new Map(kinds.map((kind) => [`${apiVersionOf(kind)}/${kind.plural}`, kind]));
    byType = new Map(kinds.map((kind) => [`${apiVersionOf(kind)}/${kind.kind}`, kind]));
    generation++;
  }
  rebuild();
  return {
    find: (group, version, plural) => byPath.get(`${apiVersionOf({ group, version })}/${plural}`),
    byKind: (apiVersion, kind) => byType.get(`${apiVersion}/${kind}`),
    anyVersion: (group, plural) => kinds.find((kind) => kind.group === group && kind.plural === plural),
    all: () => kinds,
    setCustom(source, next) {
      if (next.length === 0) custom.delete(source);
      else custom.set(source, next);
      rebuild();
    },
    get generation() {
      return generation;
    },
  };
}

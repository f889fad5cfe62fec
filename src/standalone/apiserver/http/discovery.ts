import type { Json, JsonObject, KindInfo } from '../kind.ts';
import { apiVersionOf, compareVersions, type KindTable } from '../registry/kind-table.ts';
import { extraSubresources } from '../subresource/names.ts';
import { pageNotFound } from '../status.ts';
import { parseAccept } from './negotiate.ts';
import type { Reply } from './respond.ts';

interface Subresource {
  readonly name: string;
  readonly group: string;
  readonly version: string;
  readonly kind: string;
  readonly verbs: readonly string[];
}

const partVerbs = ['get', 'patch', 'update'];

function subresourcesOf(kind: KindInfo): Subresource[] {
  const { group, version } = kind;
  return [
    ...extraSubresources(kind),
    ...(kind.subresources.scale
      ? [{ name: 'scale', group: 'autoscaling', version: 'v1', kind: 'Scale', verbs: partVerbs }]
      : []),
    ...(kind.subresources.status
      ? [{ name: 'status', group, version, kind: kind.kind, verbs: partVerbs }]
      : []),
  ];
}

const optional = (key: string, values: readonly string[]): JsonObject =>
  values.length === 0 ? {} : { [key]: [...values] };

/** `/apis/G/V`. */
export function resourceList(kinds: KindTable, group: string, version: string): JsonObject {
  const found = kinds.all().filter((kind) => kind.group === group && kind.version === version);
  if (found.length === 0) throw pageNotFound();
  const resources = found.flatMap((kind): JsonObject[] => [
    {
      name: kind.plural,
      singularName: kind.singular,
      namespaced: kind.namespaced,
      kind: kind.kind,
      verbs: [...kind.verbs],
      ...optional('shortNames', kind.shortNames),
      ...optional('categories', kind.categories),
    },
    ...subresourcesOf(kind).map((sub): JsonObject => ({
      name: `${kind.plural}/${sub.name}`,
      singularName: '',
      namespaced: kind.namespaced,
      ...(sub.group === group && sub.version === version ? {} : { group: sub.group, version: sub.version }),
      kind: sub.kind,
      verbs: [...sub.verbs],
    })),
  ]);
  return {
    kind: 'APIResourceList',
    apiVersion: 'v1',
    groupVersion: apiVersionOf({ group, version }),
    resources,
  };
}

interface Group {
  readonly name: string;
  /** Preferred first. */
  readonly versions: readonly string[];
}

function groupsOf(kinds: KindTable): Group[] {
  const groups = new Map<string, Set<string>>();
  for (const { group, version } of kinds.all())
    groups.set(group, (groups.get(group) ?? new Set()).add(version));
  return [...groups].map(([name, versions]) => ({ name, versions: [...versions].sort(compareVersions) }));
}

function groupObject({ name, versions }: Group): JsonObject {
  const described = versions.map((version) => ({ groupVersion: `${name}/${version}`, version }));
  return { name, versions: described, preferredVersion: described[0] as JsonObject };
}

/** `/api` */
export const coreVersions = (): JsonObject => ({
  kind: 'APIVersions',
  versions: ['v1'],
  serverAddressByClientCIDRs: [],
});

/** `/apis` */
export const groupList = (kinds: KindTable): JsonObject => ({
  kind: 'APIGroupList',
  apiVersion: 'v1',
  groups: groupsOf(kinds)
    .filter(({ name }) => name !== '')
    .map(groupObject),
});

/** `/apis/G` */
export function oneGroup(kinds: KindTable, name: string): JsonObject {
  const group = groupsOf(kinds).find((candidate) => candidate.name === name && name !== '');
  if (!group) throw pageNotFound();
  return { kind: 'APIGroup', apiVersion: 'v1', ...groupObject(group) };
}

function aggregatedVersion(kinds: KindTable, group: string, version: string): JsonObject {
  const found = kinds.all().filter((kind) => kind.group === group && kind.version === version);
  return {
    version,
    freshness: 'Current',
    resources: found.map((kind): JsonObject => {
      const subresources = subresourcesOf(kind).map((sub): JsonObject => ({
        subresource: sub.name,
        responseKind: { group: sub.group, version: sub.version, kind: sub.kind },
        verbs: [...sub.verbs],
      }));
      return {
        resource: kind.plural,
        responseKind: { group, version, kind: kind.kind },
        scope: kind.namespaced ? 'Namespaced' : 'Cluster',
        singularResource: kind.singular,
        verbs: [...kind.verbs],
        ...optional('shortNames', kind.shortNames),
        ...optional('categories', kind.categories),
        ...(subresources.length === 0 ? {} : { subresources }),
      };
    }),
  };
}

/** Groups with all their resources in one answer: what kubectl since 1.26 asks for. */
function aggregated(kinds: KindTable, core: boolean, discoveryVersion: string): JsonObject {
  const items = groupsOf(kinds)
    .filter(({ name }) => (name === '') === core)
    .map(({ name, versions }): JsonObject => ({
      metadata: { ...(name === '' ? {} : { name }), creationTimestamp: null },
      versions: versions.map((version): Json => aggregatedVersion(kinds, name, version)),
    }));
  return {
    kind: 'APIGroupDiscoveryList',
    apiVersion: `apidiscovery.k8s.io/${discoveryVersion}`,
    metadata: {},
    items,
  };
}

/** Answers of discovery, made once for each state of the kinds. */
export function discovery(kinds: KindTable): (path: string, accept: string | undefined) => Reply | undefined {
  let generation = -1;
  let made = new Map<string, Reply>();

  function answer(path: string, accept: string | undefined): Reply | undefined {
    const parts = path.split('/').filter((part) => part !== '');
    const [first, second, third] = parts;
    const aggregatedRange = parseAccept(accept ?? '').find(
      ({ type, parameters }) =>
        type === 'application/json' &&
        parameters['g'] === 'apidiscovery.k8s.io' &&
        parameters['as'] === 'APIGroupDiscoveryList' &&
        (parameters['v'] === 'v2' || parameters['v'] === 'v2beta1'),
    );
    const version = aggregatedRange?.parameters['v'];
    if (parts.length === 1 && version !== undefined)
      return {
        code: 200,
        text: JSON.stringify(aggregated(kinds, first === 'api', version)),
        contentType: `application/json;g=apidiscovery.k8s.io;v=${version};as=APIGroupDiscoveryList`,
      };
    const json = (object: JsonObject): Reply => ({
      code: 200,
      text: JSON.stringify(object),
      contentType: 'application/json',
    });
    if (first === 'api') {
      if (parts.length === 1) return json(coreVersions());
      return parts.length === 2 ? json(resourceList(kinds, '', second as string)) : undefined;
    }
    if (first !== 'apis') return undefined;
    if (parts.length === 1) return json(groupList(kinds));
    if (parts.length === 2) return json(oneGroup(kinds, second as string));
    return parts.length === 3 ? json(resourceList(kinds, second as string, third as string)) : undefined;
  }

  return (path, accept) => {
    if (generation !== kinds.generation) {
      generation = kinds.generation;
      made = new Map();
    }
    const key = `${path} ${accept ?? ''}`;
    const known = made.get(key);
    if (known) return known;
    const reply = answer(path, accept);
    // Few forms are ever asked for; the limit is against a client that makes up Accept headers.
    if (reply && made.size < 200) made.set(key, reply);
    return reply;
  };
}

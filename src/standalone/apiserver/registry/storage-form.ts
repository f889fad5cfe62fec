import type { ApiObject, JsonObject, KindInfo } from '../kind.ts';
import { atVersion, isObject } from './json.ts';

/** Where all keys of the API live. */
export const root = '/registry/';

/** The folder of a kind's objects: `core/pods`, `apps/deployments`. Versions of one kind share it. */
export type StorageName = string;

export function storageOf(kind: Pick<KindInfo, 'group' | 'plural'>): StorageName {
  // The two Event APIs are two views of the same objects.
  if (kind.group === 'events.k8s.io' && kind.plural === 'events') return 'core/events';
  return `${kind.group === '' ? 'core' : kind.group}/${kind.plural}`;
}

/** A namespaced object's key inside its folder is `namespace/name`, others' is `name`. */
export const localKey = (namespace: string | undefined, name: string) =>
  namespace ? `${namespace}/${name}` : name;

export const fullKey = (storage: StorageName, local: string) => `${root}${storage}/${local}`;

/** `/registry/apps/deployments/ns/x` -> [`apps/deployments`, `ns/x`]. */
export function splitKey(key: string): { storage: StorageName; local: string } | undefined {
  const second = key.indexOf('/', root.length);
  const third = second < 0 ? -1 : key.indexOf('/', second + 1);
  if (!key.startsWith(root) || third < 0) return undefined;
  return { storage: key.slice(root.length, third), local: key.slice(third + 1) };
}

/** The stored text: the object without the version, which is the key's revision. */
export function encode(object: ApiObject): string {
  const { resourceVersion: _, ...metadata } = object.metadata ?? {};
  return JSON.stringify({ apiVersion: object.apiVersion, kind: object.kind, metadata, ...omitHead(object) });
}

function omitHead(object: ApiObject): JsonObject {
  const { apiVersion: _apiVersion, kind: _kind, metadata: _metadata, ...rest } = object as JsonObject;
  return rest;
}

export function decode(value: string, revision: number): ApiObject {
  const object = JSON.parse(value) as ApiObject;
  return atVersion(object, revision);
}

const eventFields: readonly (readonly [core: string, events: string])[] = [
  ['involvedObject', 'regarding'],
  ['message', 'note'],
  ['firstTimestamp', 'deprecatedFirstTimestamp'],
  ['lastTimestamp', 'deprecatedLastTimestamp'],
  ['count', 'deprecatedCount'],
  ['source', 'deprecatedSource'],
  ['reportingComponent', 'reportingController'],
];

function renamed(object: ApiObject, apiVersion: string, from: 0 | 1, to: 0 | 1): ApiObject {
  const result: JsonObject = { ...(object as JsonObject), apiVersion };
  for (const pair of eventFields) {
    const value = result[pair[from]];
    if (value === undefined) continue;
    delete result[pair[from]];
    result[pair[to]] = value;
  }
  return result as ApiObject;
}

const apiVersionOf = (kind: KindInfo) => (kind.group === '' ? kind.version : `${kind.group}/${kind.version}`);

/**
 * The stored object as this version of its kind shows it. Versions of a custom kind differ in apiVersion
 * only (conversion strategy None).
 */
export function toVersion(kind: KindInfo, object: ApiObject): ApiObject {
  const apiVersion = apiVersionOf(kind);
  if (object.apiVersion === apiVersion) return object;
  if (kind.plural === 'events' && kind.group === 'events.k8s.io') return renamed(object, apiVersion, 0, 1);
  return { ...(object as JsonObject), apiVersion } as ApiObject;
}

/** The object as it is stored. */
export function toStorage(kind: KindInfo, object: ApiObject): ApiObject {
  if (kind.plural === 'events' && kind.group === 'events.k8s.io') return renamed(object, 'v1', 1, 0);
  return object;
}

/** Name and namespace for field selectors and errors. */
export function nameOf(object: unknown): { name: string; namespace: string | undefined } {
  const metadata = isObject(object) && isObject(object['metadata']) ? object['metadata'] : {};
  const { name, namespace } = metadata;
  return {
    name: typeof name === 'string' ? name : '',
    namespace: typeof namespace === 'string' && namespace !== '' ? namespace : undefined,
  };
}

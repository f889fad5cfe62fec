import type { ObjectMeta } from 'kubernetes-types/meta/v1.js';

/** What every stored object has. */
export interface KubeObject {
  apiVersion?: string;
  kind?: string;
  metadata?: ObjectMeta;
}

/** A kind as the API serves it. `T` is carried for the compiler only. */
export interface Resource<T extends KubeObject = KubeObject> {
  /** Empty for the core group. */
  readonly group: string;
  readonly version: string;
  readonly kind: string;
  readonly plural: string;
  readonly namespaced: boolean;
  /** Never set: ties the descriptor to its object type. */
  readonly objectType?: T;
}

/** Names one object; `namespace` is absent where the kind is cluster-scoped. */
export interface ObjectRef {
  readonly namespace?: string | undefined;
  readonly name: string;
}

/** An object that the API returned: its type, name, uid and version are there. */
export type Stored<T extends KubeObject> = T & {
  apiVersion: string;
  kind: string;
  metadata: ObjectMeta & { name: string; uid: string; resourceVersion: string; creationTimestamp: string };
};

/** Makes a descriptor: `resource<Pod>('', 'v1', 'Pod', 'pods')`. */
export function resource<T extends KubeObject>(
  group: string,
  version: string,
  kind: string,
  plural: string,
  scope: 'namespaced' | 'cluster' = 'namespaced',
): Resource<T> {
  return { group, version, kind, plural, namespaced: scope === 'namespaced' };
}

/** `v1` or `apps/v1`. */
export const apiVersionOf = (r: Resource): string => (r.group === '' ? r.version : `${r.group}/${r.version}`);

/** `namespace/name`, or `name` where there is no namespace: the key of work queues and logs. */
export const keyOf = (ref: ObjectRef): string => (ref.namespace ? `${ref.namespace}/${ref.name}` : ref.name);

export function refOf(object: KubeObject): ObjectRef {
  return { namespace: object.metadata?.namespace, name: object.metadata?.name ?? '' };
}

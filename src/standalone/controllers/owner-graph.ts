import type { OwnerReference } from 'kubernetes-types/meta/v1.js';
import type { KubeObject, ObjectRef, Resource, Stored } from '../../api/resource.ts';

/** What the collector keeps of an object: enough to know who depends on whom. */
export interface OwnedNode {
  readonly resource: Resource;
  readonly ref: ObjectRef;
  readonly uid: string;
  readonly owners: readonly OwnerReference[];
  readonly deleting: boolean;
  readonly finalizers: readonly string[];
}

/** Every object of the cluster, with its owners and dependents by uid. */
export interface OwnerGraph {
  readonly size: number;
  get(uid: string): OwnedNode | undefined;
  /** Takes the newest state of an object. */
  put(node: OwnedNode): void;
  remove(uid: string): OwnedNode | undefined;
  dependents(uid: string): readonly OwnedNode[];
  /** The uids known of one kind, to find what a new list no longer has. */
  uidsOf(kind: string): readonly string[];
}

export const graphKind = (resource: Resource): string => `${resource.group}/${resource.plural}`;

export function nodeOf(resource: Resource, object: Stored<KubeObject>): OwnedNode {
  const { metadata } = object;
  return {
    resource,
    ref: { namespace: metadata.namespace, name: metadata.name },
    uid: metadata.uid,
    owners: metadata.ownerReferences ?? [],
    deleting: metadata.deletionTimestamp !== undefined,
    finalizers: metadata.finalizers ?? [],
  };
}

export function ownerGraph(): OwnerGraph {
  const nodes = new Map<string, OwnedNode>();
  const dependents = new Map<string, Set<string>>();
  const byKind = new Map<string, Set<string>>();
  const link = (map: Map<string, Set<string>>, key: string, uid: string) => {
    const set = map.get(key) ?? new Set<string>();
    set.add(uid);
    map.set(key, set);
  };
  const unlink = (map: Map<string, Set<string>>, key: string, uid: string) => {
    const set = map.get(key);
    set?.delete(uid);
    if (set?.size === 0) map.delete(key);
  };
  const remove = (uid: string) => {
    const node = nodes.get(uid);
    if (!node) return undefined;
    nodes.delete(uid);
    unlink(byKind, graphKind(node.resource), uid);
    for (const owner of node.owners) unlink(dependents, owner.uid, uid);
    return node;
  };
  return {
    get size() {
      return nodes.size;
    },
    get: (uid) => nodes.get(uid),
    put(node) {
      remove(node.uid);
      nodes.set(node.uid, node);
      link(byKind, graphKind(node.resource), node.uid);
      for (const owner of node.owners) link(dependents, owner.uid, node.uid);
    },
    remove,
    dependents: (uid) =>
      [...(dependents.get(uid) ?? [])].flatMap((one) => {
        const node = nodes.get(one);
        return node ? [node] : [];
      }),
    uidsOf: (kind) => [...(byKind.get(kind) ?? [])],
  };
}

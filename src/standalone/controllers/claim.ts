import type { LabelSelector } from 'kubernetes-types/meta/v1.js';
import { refOf, type KubeObject, type Resource, type Stored } from '../../api/resource.ts';
import type { CallOptions, KubeClient } from '../../kube/client.ts';
import { isInvalid, isNotFound } from '../../kube/errors.ts';
import type { IndexFunctions } from '../../kube/cache.ts';
import { controllerOf, controllerReference } from '../../kube/owner-reference.ts';
import { selectorMatches } from '../../kube/selector.ts';
import type { RunningCache } from '../../kube/watch-cache.ts';

/** Finds a controller's objects, and those that nobody controls, without a look at every object. */
export const claimIndexes = {
  controller: (object: Stored<KubeObject>) => {
    const uid = controllerOf(object)?.uid;
    return uid === undefined ? [] : [uid];
  },
  orphan: (object: Stored<KubeObject>) =>
    controllerOf(object) === undefined ? [object.metadata.namespace ?? ''] : [],
} satisfies IndexFunctions<KubeObject>;

export interface Claim<T extends KubeObject> {
  readonly client: KubeClient;
  readonly resource: Resource<T>;
  readonly cache: RunningCache<T>;
  readonly owner: Stored<KubeObject>;
  readonly selector: LabelSelector | undefined;
}

/**
 * The objects that `owner` controls. Those that match its selector and have no controller are adopted;
 * those it has that match no longer are released, for somebody took them out on purpose.
 */
export async function claimObjects<T extends KubeObject>(
  claim: Claim<T>,
  options: CallOptions,
): Promise<Stored<T>[]> {
  const { cache, owner, selector } = claim;
  const deleted = owner.metadata.deletionTimestamp !== undefined;
  const matches = (object: KubeObject) => selectorMatches(selector, object.metadata?.labels);
  const held: Stored<T>[] = [];
  for (const object of cache.byIndex('controller', owner.metadata.uid)) {
    if (deleted || matches(object)) held.push(object);
    else await release(claim, object, options);
  }
  if (deleted) return held;
  for (const object of cache.byIndex('orphan', owner.metadata.namespace ?? '')) {
    if (object.metadata.deletionTimestamp !== undefined || !matches(object)) continue;
    const adopted = await adopt(claim, object, options);
    if (adopted) held.push(adopted);
  }
  return held;
}

async function adopt<T extends KubeObject>(
  { client, resource, cache, owner }: Claim<T>,
  object: Stored<T>,
  options: CallOptions,
): Promise<Stored<T> | undefined> {
  // The cache may be old: an owner that is being deleted must not take in new objects.
  const ownerResource: Resource = ownerDescriptor(owner);
  const live = await client.get(ownerResource, refOf(owner), options);
  if (live?.metadata.uid !== owner.metadata.uid || live.metadata.deletionTimestamp !== undefined) {
    return undefined;
  }
  const ownerReferences = [...(object.metadata.ownerReferences ?? []), controllerReference(owner)];
  return await writeOwners(client, resource, cache, object, ownerReferences, options);
}

async function release<T extends KubeObject>(
  { client, resource, cache, owner }: Claim<T>,
  object: Stored<T>,
  options: CallOptions,
): Promise<void> {
  const left = (object.metadata.ownerReferences ?? []).filter((one) => one.uid !== owner.metadata.uid);
  await writeOwners(client, resource, cache, object, left, options);
}

async function writeOwners<T extends KubeObject>(
  client: KubeClient,
  resource: Resource<T>,
  cache: RunningCache<T>,
  object: Stored<T>,
  ownerReferences: readonly object[],
  options: CallOptions,
): Promise<Stored<T> | undefined> {
  const { uid, resourceVersion } = object.metadata;
  const body = { metadata: { uid, resourceVersion, ownerReferences } };
  try {
    const written = await client.patch(resource, refOf(object), { type: 'merge', body }, options);
    cache.remember(written);
    return written;
  } catch (error) {
    // Gone, or taken by another controller in the same moment.
    if (isNotFound(error) || isInvalid(error)) return undefined;
    throw error;
  }
}

function ownerDescriptor(owner: Stored<KubeObject>): Resource {
  const [group = '', version = ''] = owner.apiVersion.includes('/')
    ? owner.apiVersion.split('/')
    : ['', owner.apiVersion];
  return { group, version, kind: owner.kind, plural: `${owner.kind.toLowerCase()}s`, namespaced: true };
}

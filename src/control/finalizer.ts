import { refOf, type KubeObject, type Resource, type Stored } from '../api/resource.ts';
import type { CallOptions, JsonPatchOperation, KubeClient } from '../kube/client.ts';
import { isConflict, isInvalid, isNotFound } from '../kube/errors.ts';

export const hasFinalizer = (object: KubeObject, finalizer: string): boolean =>
  object.metadata?.finalizers?.includes(finalizer) ?? false;

export const isDeleted = (object: KubeObject): boolean => object.metadata?.deletionTimestamp !== undefined;

/**
 * Adds the finalizer, and in the same write the annotations. Guarantee: when this returns, a deletion of the
 * object waits for us. Answers the object as it is now, or undefined where it is gone or already being deleted.
 */
export async function addFinalizer<T extends KubeObject>(
  client: KubeClient,
  resource: Resource<T>,
  object: Stored<T>,
  finalizer: string,
  { annotations = {}, ...options }: CallOptions & { readonly annotations?: Readonly<Record<string, string>> },
): Promise<Stored<T> | undefined> {
  return await edit(client, resource, object, options, ({ metadata }) => {
    const operations: JsonPatchOperation[] = [];
    if (!metadata.finalizers?.includes(finalizer))
      operations.push(
        metadata.finalizers?.length
          ? { op: 'add', path: '/metadata/finalizers/-', value: finalizer }
          : { op: 'add', path: '/metadata/finalizers', value: [finalizer] },
      );
    const present = metadata.annotations ?? {};
    if (Object.entries(annotations).some(([key, value]) => present[key] !== value))
      operations.push({ op: 'add', path: '/metadata/annotations', value: { ...present, ...annotations } });
    return operations;
  });
}

/**
 * Removes the finalizer and only that one. Assumption: the clean-up is over, for the object may be gone
 * when this returns (undefined).
 */
export async function removeFinalizer<T extends KubeObject>(
  client: KubeClient,
  resource: Resource<T>,
  object: Stored<T>,
  finalizer: string,
  options: CallOptions,
): Promise<Stored<T> | undefined> {
  return await edit(client, resource, object, options, (current) => {
    const at = current.metadata.finalizers?.indexOf(finalizer) ?? -1;
    return at < 0 ? [] : [{ op: 'remove', path: `/metadata/finalizers/${at}` }];
  });
}

/** A patch that tests what it was computed from, so that a finalizer of another is never lost. */
async function edit<T extends KubeObject>(
  client: KubeClient,
  resource: Resource<T>,
  object: Stored<T>,
  options: CallOptions,
  change: (current: Stored<T>) => readonly JsonPatchOperation[],
): Promise<Stored<T> | undefined> {
  const ref = refOf(object);
  let current: Stored<T> | undefined = object;
  for (let attempt = 0; attempt < 10; attempt++) {
    if (!current || current.metadata.uid !== object.metadata.uid) return undefined;
    const changes = change(current);
    if (changes.length === 0) return current;
    const operations: JsonPatchOperation[] = [
      { op: 'test', path: '/metadata/uid', value: object.metadata.uid },
      { op: 'test', path: '/metadata/resourceVersion', value: current.metadata.resourceVersion },
      ...changes,
    ];
    try {
      return await client.patch(resource, ref, { type: 'json', operations }, options);
    } catch (error) {
      if (isNotFound(error)) return undefined;
      // A failed test is Invalid (422) with Kubernetes and Conflict elsewhere.
      if (!isConflict(error) && !isInvalid(error)) throw error;
      const read: Stored<T> | undefined = await client.get(resource, ref, options);
      // Nothing moved meanwhile, so the refusal is not about our test: a deleted object takes no new one.
      if (read && read.metadata.resourceVersion === current.metadata.resourceVersion) {
        if (isDeleted(read)) return undefined;
        throw error;
      }
      current = read;
    }
  }
  throw new Error(`the finalizers of ${resource.kind} ${ref.name} change too often`);
}

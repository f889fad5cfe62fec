import { createHash } from 'node:crypto';
import { refOf, type KubeObject, type ObjectRef, type Resource, type Stored } from '../api/resource.ts';
import type { CacheSet } from '../kube/cache-set.ts';
import type { KubeClient } from '../kube/client.ts';
import { isAlreadyExists } from '../kube/errors.ts';
import { isLeaving, LeavingError } from './leaving.ts';

export const fieldManager = 'holdfast-operator';
const hashAnnotation = 'holdfast.io/applied';

/** The objects that the operator makes. Reads come from caches; what is made once is read from the API. */
export interface OwnedObjects {
  /** The newest state in the cache, or undefined where there is none. */
  get<T extends KubeObject>(
    resource: Resource<T>,
    ref: ObjectRef,
    signal: AbortSignal,
  ): Promise<Stored<T> | undefined>;
  list<T extends KubeObject>(
    resource: Resource<T>,
    namespace: string | undefined,
    signal: AbortSignal,
    labelSelector?: string,
  ): Promise<readonly Stored<T>[]>;
  /**
   * Makes the object be as wanted, by server-side apply: fields that others set stay. Nothing is sent
   * where this very content was applied before, so it costs nothing to ask each time.
   */
  ensure<T extends KubeObject>(resource: Resource<T>, wanted: T, signal: AbortSignal): Promise<Stored<T>>;
  /**
   * Creates it, or answers the one that is there, read from the API: for keys and ids, made exactly once.
   * Throws LeavingError where the one that is there is on its way out.
   */
  createOnce<T extends KubeObject>(resource: Resource<T>, wanted: T, signal: AbortSignal): Promise<Stored<T>>;
  /**
   * As `createOnce`, for what stays as long as its owner does: where the cache has it with that owner, the
   * API is not asked, and what is in it may be a moment old.
   */
  createLasting<T extends KubeObject>(
    resource: Resource<T>,
    wanted: T,
    signal: AbortSignal,
  ): Promise<Stored<T>>;
  /** A merge patch that the next look sees, even before the watch brings it. */
  merge<T extends KubeObject>(
    resource: Resource<T>,
    ref: ObjectRef,
    body: object,
    signal: AbortSignal,
  ): Promise<Stored<T>>;
  remove(resource: Resource, ref: ObjectRef, signal: AbortSignal): Promise<boolean>;
}

export function ownedObjects(client: KubeClient, caches: CacheSet): OwnedObjects {
  // One cache a kind, over all namespaces the operator serves; a cache is synced once and then answers at once.
  const cacheOf = async <T extends KubeObject>(
    resource: Resource<T>,
    namespace: string | undefined,
    signal: AbortSignal,
    labelSelector?: string,
  ) => {
    const cache = caches.cache(resource, {
      ...(namespace === undefined ? {} : { namespace }),
      ...(labelSelector === undefined ? {} : { labelSelector }),
    });
    await cache.synced(signal);
    return cache;
  };
  const objects: OwnedObjects = {
    async get(resource, ref, signal) {
      return (await cacheOf(resource, ref.namespace, signal)).get(ref);
    },
    async list(resource, namespace, signal, labelSelector) {
      return (await cacheOf(resource, namespace, signal, labelSelector)).list(namespace);
    },
    async ensure(resource, wanted, signal) {
      const hash = contentHash(wanted);
      const current = await objects.get(resource, refOf(wanted), signal);
      if (
        current &&
        current.metadata.annotations?.[hashAnnotation] === hash &&
        !current.metadata.deletionTimestamp
      )
        return current;
      const annotations = { ...wanted.metadata?.annotations, [hashAnnotation]: hash };
      const marked = { ...wanted, metadata: { ...wanted.metadata, annotations } };
      const applied = await client.apply(resource, marked, { fieldManager, signal });
      // The next look must not miss our own write, even before the watch brings it.
      (await cacheOf(resource, wanted.metadata?.namespace, signal)).remember(structuredClone(applied));
      return applied;
    },
    async createOnce(resource, wanted, signal) {
      const staying = (object: Stored<typeof wanted>) => {
        if (isLeaving(object, wanted.metadata?.ownerReferences))
          throw new LeavingError(resource.kind, refOf(object));
        return object;
      };
      const found = await client.get(resource, refOf(wanted), { signal });
      if (found) return staying(found);
      try {
        return await client.create(resource, wanted, { signal, fieldManager });
      } catch (error) {
        // Another operator was faster: its content counts.
        if (!isAlreadyExists(error)) throw error;
        const theirs = await client.get(resource, refOf(wanted), { signal });
        if (!theirs) throw error;
        return staying(theirs);
      }
    },
    async createLasting(resource, wanted, signal) {
      const known = await objects.get(resource, refOf(wanted), signal);
      if (known && !known.metadata.deletionTimestamp && haveCommonOwner(known, wanted)) return known;
      return await objects.createOnce(resource, wanted, signal);
    },
    async merge(resource, ref, body, signal) {
      const merged = await client.patch(resource, ref, { type: 'merge', body }, { signal, fieldManager });
      (await cacheOf(resource, ref.namespace, signal)).remember(merged);
      return merged;
    },
    remove: (resource, ref, signal) =>
      client.delete(resource, ref, { signal, propagationPolicy: 'Background' }),
  };
  return objects;
}

const haveCommonOwner = (one: KubeObject, other: KubeObject): boolean =>
  one.metadata?.ownerReferences?.some(({ uid }) =>
    other.metadata?.ownerReferences?.some((owner) => owner.uid === uid),
  ) === true;

/** A short hash of what is wanted, independent of the order of keys. */
export function contentHash(value: unknown): string {
  return createHash('sha256').update(canonical(value)).digest('hex').slice(0, 16);
}

function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map((item) => canonical(item ?? null)).join(',')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value) ?? 'null';
  const entries = Object.entries(value).filter(([, item]) => item !== undefined);
  entries.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
  return `{${entries.map(([key, item]) => `${JSON.stringify(key)}:${canonical(item)}`).join(',')}}`;
}

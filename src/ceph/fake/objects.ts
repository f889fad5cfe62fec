import { cephError } from '../errno.ts';
import type { LockHolder, ObjectLock, PoolPlace } from '../seam.ts';
import { namespaceOf, newObject, type FakeNamespace, type FakeObject, type FakeState } from './state.ts';

/** The omap and cls_lock operations without their time: each one is atomic. */
export interface FakeObjectStore {
  createExclusive(place: PoolPlace, object: string): void;
  remove(place: PoolPlace, object: string): boolean;
  omapGet(place: PoolPlace, object: string, keys: readonly string[]): Map<string, string>;
  omapList(place: PoolPlace, object: string, after: string, limit: number): Map<string, string>;
  omapSet(place: PoolPlace, object: string, values: ReadonlyMap<string, string>): void;
  omapRemove(place: PoolPlace, object: string, keys: readonly string[]): void;
  lock(place: PoolPlace, object: string, lock: ObjectLock, client: string, address: string): void;
  unlock(place: PoolPlace, object: string, lock: Pick<ObjectLock, 'name' | 'cookie'>, client: string): void;
  lockHolders(place: PoolPlace, object: string, lockName: string): LockHolder[];
}

export function namespaceAt(state: FakeState, place: PoolPlace, operation: string): FakeNamespace {
  const pool = state.pools.get(place.pool);
  if (!pool) throw cephError('ENOENT', operation, `pool ${place.pool} does not exist`);
  return namespaceOf(pool, place.namespace ?? '');
}

export function fakeObjects(state: FakeState): FakeObjectStore {
  const find = (place: PoolPlace, object: string, operation: string): FakeObject | undefined =>
    namespaceAt(state, place, operation).objects.get(object);
  const ensure = (place: PoolPlace, object: string, operation: string): FakeObject => {
    const { objects } = namespaceAt(state, place, operation);
    const found = objects.get(object) ?? newObject();
    objects.set(object, found);
    return found;
  };
  return {
    createExclusive(place, object) {
      if (find(place, object, 'object create')) throw cephError('EEXIST', 'object create', object);
      ensure(place, object, 'object create');
    },
    remove: (place, object) => namespaceAt(state, place, 'object remove').objects.delete(object),
    omapGet(place, object, keys) {
      const omap = find(place, object, 'omap get')?.omap;
      return new Map(
        keys.flatMap((key) => {
          const value = omap?.get(key);
          return value === undefined ? [] : [[key, value] as const];
        }),
      );
    },
    omapList(place, object, after, limit) {
      const omap = find(place, object, 'omap list')?.omap ?? new Map<string, string>();
      // Ceph sorts keys by their bytes.
      const sorted = [...omap].sort(([a], [b]) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
      return new Map(
        sorted
          .filter(([key]) => after === '' || Buffer.compare(Buffer.from(key), Buffer.from(after)) > 0)
          .slice(0, limit),
      );
    },
    omapSet(place, object, values) {
      const { omap } = ensure(place, object, 'omap set');
      for (const [key, value] of values) omap.set(key, value);
    },
    omapRemove(place, object, keys) {
      const { omap } = ensure(place, object, 'omap remove');
      for (const key of keys) omap.delete(key);
    },
    ...locksOf(find, ensure),
  };
}

type Find = (place: PoolPlace, object: string, operation: string) => FakeObject | undefined;
type Ensure = (place: PoolPlace, object: string, operation: string) => FakeObject;

/** cls_lock: a lock of a name on an object, its holder told apart by client and cookie. */
function locksOf(find: Find, ensure: Ensure): Pick<FakeObjectStore, 'lock' | 'unlock' | 'lockHolders'> {
  return {
    lock(place, object, lock, client, address) {
      const { locks } = ensure(place, object, 'lock');
      const holders = locks.get(lock.name) ?? [];
      if (holders.some((holder) => holder.client === client && holder.cookie === lock.cookie))
        throw cephError('EEXIST', 'lock', `${lock.name} on ${object}`);
      if (holders.length > 0) throw cephError('EBUSY', 'lock', `${lock.name} on ${object}`);
      locks.set(lock.name, [{ client, address, cookie: lock.cookie, description: lock.description }]);
    },
    unlock(place, object, lock, client) {
      const locks = find(place, object, 'unlock')?.locks;
      const holders = locks?.get(lock.name) ?? [];
      const left = holders.filter((holder) => holder.client !== client || holder.cookie !== lock.cookie);
      if (left.length === holders.length) throw cephError('ENOENT', 'unlock', `${lock.name} on ${object}`);
      if (left.length > 0) locks?.set(lock.name, left);
      else locks?.delete(lock.name);
    },
    lockHolders: (place, object, lockName) =>
      (find(place, object, 'lock holders')?.locks.get(lockName) ?? []).map(({ client, cookie, address }) => ({
        client,
        cookie,
        address,
      })),
  };
}

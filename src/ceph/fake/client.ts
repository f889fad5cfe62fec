import type { ZodType } from 'zod';
import type { Clock } from '../../lib/clock.ts';
import { decodeAnswer } from '../answer.ts';
import { cephError } from '../errno.ts';
import type { Ceph, CephCallOptions, CephCommand, PoolPlace, RadosObjects, Rbd } from '../seam.ts';
import { authCommands } from './auth-commands.ts';
import { blocklistCommands } from './blocklist.ts';
import type { FakeHandlers } from './command.ts';
import { configCommands } from './config-commands.ts';
import { crushCommands } from './crush-commands.ts';
import { isWritable } from './health.ts';
import { fakeObjects } from './objects.ts';
import { osdCommands, osdMgrCommands, osdMgrOnly } from './osd-commands.ts';
import { poolCommands } from './pool-commands.ts';
import { fakeRbd } from './rbd.ts';
import type { FakeState } from './state.ts';
import { pgCommands, statusCommands } from './status-commands.ts';

const monHandlers: FakeHandlers = {
  ...statusCommands,
  ...poolCommands,
  ...crushCommands,
  ...osdCommands,
  ...blocklistCommands,
  ...authCommands,
  ...configCommands,
};
// A mon asked for these asks the mgr; the two in osdMgrOnly it refuses.
const sharedHandlers: FakeHandlers = { ...pgCommands, ...osdMgrCommands };

/** Runs one operation: its place in `sent`, faults, latency, reachability, then the effect. */
export type FakeCallRunner = <T>(operation: string, options: CephCallOptions, effect: () => T) => Promise<T>;

/** One client of the fake cluster. */
export function fakeClient(
  state: FakeState,
  run: FakeCallRunner,
  self: { readonly client: string; readonly address: string },
  clock: Clock,
): Ceph {
  return {
    mon: (command, shape, options) =>
      run(command.prefix, options, () =>
        answer(state, command, shape, options, clock, (prefix) => {
          if (prefix in osdMgrOnly) throw cephError('EINVAL', prefix, '(22) Invalid argument');
          return monHandlers[prefix] ?? sharedHandlers[prefix] ?? unknown(prefix, 'command not known');
        }),
      ),
    mgr: (command, shape, options) =>
      run(command.prefix, options, () =>
        answer(state, command, shape, options, clock, (prefix) => {
          if (![...state.mgrs.values()].some((mgr) => mgr.active))
            throw cephError('ETIMEDOUT', prefix, 'no active mgr');
          return (
            sharedHandlers[prefix] ??
            osdMgrOnly[prefix] ??
            unknown(prefix, `No handler found for '${prefix}'`)
          );
        }),
      ),
    osd: (id, command, shape, options) =>
      run(command.prefix, options, () => {
        const target = state.osds.get(id);
        if (!target) throw cephError('ENOENT', command.prefix, `osd.${id} does not exist`);
        if (!target.up) throw cephError('ENXIO', command.prefix, `osd.${id} is down`);
        return answer(state, command, shape, options, clock, (prefix) =>
          prefix === 'status'
            ? () => ({
                cluster_fsid: state.fsid,
                whoami: id,
                state: 'active',
                oldest_map: 1,
                newest_map: state.epoch,
              })
            : unknown(prefix, `No handler found for '${prefix}'`),
        );
      }),
    rbd: rbdOf(state, run, clock),
    objects: objectsOf(state, run, self),
    poolId: (pool, options) => run('pool id', options, () => state.pools.get(pool)?.id),
    poolName: (id, options) =>
      run('pool name', options, () => [...state.pools.values()].find((pool) => pool.id === id)?.name),
    close: () => Promise.resolve(),
  };
}

const unknown = (prefix: string, message: string): never => {
  throw cephError('EINVAL', prefix, message);
};

function answer<T>(
  state: FakeState,
  command: CephCommand,
  shape: ZodType<T>,
  options: CephCallOptions,
  clock: Clock,
  find: (prefix: string) => FakeHandlers[string],
): T {
  const handler = find(command.prefix);
  const result = handler?.({ state, command, input: options.input, nowMs: clock.now() });
  const text = typeof result === 'string' ? result : result === undefined ? '' : JSON.stringify(result);
  return decodeAnswer(command.prefix, text, shape);
}

/** A pool with too few OSDs up blocks I/O; the client's own time limit ends the wait. */
function refuseBlocked(state: FakeState, place: PoolPlace, operation: string): void {
  const pool = state.pools.get(place.pool);
  if (pool && !isWritable(state, pool))
    throw cephError('ETIMEDOUT', operation, `pool ${place.pool} has too few OSDs up for I/O`);
}

function rbdOf(state: FakeState, run: FakeCallRunner, clock: Clock): Rbd {
  const store = fakeRbd(state, () => clock.now());
  const at = <T>(operation: string, place: PoolPlace, options: CephCallOptions, effect: () => T) =>
    run(operation, options, () => {
      refuseBlocked(state, place, operation);
      return effect();
    });
  return {
    create: (place, image, create, options) =>
      at('rbd create', place, options, () => store.create(place, image, create)),
    info: (place, image, options) => at('rbd info', place, options, () => store.info(place, image)),
    list: (place, options) => at('rbd list', place, options, () => store.list(place)),
    remove: (place, image, options) => at('rbd remove', place, options, () => store.remove(place, image)),
    resize: (place, image, sizeBytes, options) =>
      at('rbd resize', place, options, () => store.resize(place, image, sizeBytes)),
    watchers: (place, image, options) =>
      at('rbd watchers', place, options, () => store.watchers(place, image)),
    metadataGet: (place, image, key, options) =>
      at('rbd metadata get', place, options, () => store.metadataGet(place, image, key)),
    metadataSet: (place, image, key, value, options) =>
      at('rbd metadata set', place, options, () => store.metadataSet(place, image, key, value)),
    createNamespace: (place, options) =>
      at('rbd namespace create', place, options, () => store.createNamespace(place)),
    initPool: (place, options) => at('rbd pool init', place, options, () => store.initPool(place)),
    trashMove: (place, image, delaySeconds, options) =>
      at('rbd trash move', place, options, () => store.trashMove(place, image, delaySeconds)),
    trashRemove: (place, id, options) =>
      at('rbd trash remove', place, options, () => store.trashRemove(place, id)),
    trashList: (place, options) => at('rbd trash list', place, options, () => store.trashList(place)),
  };
}

function objectsOf(
  state: FakeState,
  run: FakeCallRunner,
  self: { readonly client: string; readonly address: string },
): RadosObjects {
  const store = fakeObjects(state);
  const at = <T>(operation: string, place: PoolPlace, options: CephCallOptions, effect: () => T) =>
    run(operation, options, () => {
      refuseBlocked(state, place, operation);
      return effect();
    });
  return {
    createExclusive: (place, object, options) =>
      at('object create', place, options, () => store.createExclusive(place, object)),
    remove: (place, object, options) =>
      at('object remove', place, options, () => store.remove(place, object)),
    omapGet: (place, object, keys, options) =>
      at('omap get', place, options, () => store.omapGet(place, object, keys)),
    omapList: (place, object, options) =>
      at('omap list', place, options, () =>
        store.omapList(place, object, options.after ?? '', options.limit ?? 10_000),
      ),
    omapSet: (place, object, values, options) =>
      at('omap set', place, options, () => store.omapSet(place, object, values)),
    omapRemove: (place, object, keys, options) =>
      at('omap remove', place, options, () => store.omapRemove(place, object, keys)),
    lock: (place, object, lock, options) =>
      at('lock', place, options, () => store.lock(place, object, lock, self.client, self.address)),
    unlock: (place, object, lock, options) =>
      at('unlock', place, options, () => store.unlock(place, object, lock, self.client)),
    breakLock: (place, object, lockName, holder, options) =>
      at('lock break', place, options, () =>
        store.unlock(place, object, { name: lockName, cookie: holder.cookie }, holder.client),
      ),
    lockHolders: (place, object, lockName, options) =>
      at('lock holders', place, options, () => store.lockHolders(place, object, lockName)),
  };
}

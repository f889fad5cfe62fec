import { systemClock, type Clock } from '../../lib/clock.ts';
import { cephError } from '../errno.ts';
import type { Ceph, CephCallOptions, CephOpener, PoolPlace } from '../seam.ts';
import { fakeClient } from './client.ts';
import { faultInjector, type FaultPlan } from './faults.ts';
import { isBlocked } from './blocklist.ts';
import {
  bootOsd,
  createFakeState,
  type FakeOsdSpec,
  type FakeState,
  type FakeStateOptions,
} from './state.ts';

export interface FakeCephOptions extends FakeStateOptions {
  readonly clock?: Clock;
  /** How long each call takes on the clock; none where not said. */
  readonly latencyMs?: number | ((operation: string) => number);
}

/**
 * A Ceph cluster with state, behind the same interface as the real one. `fake.pools.get('p')!.size = 1` is what
 * someone's `ceph osd pool set` does behind our back; `fake.sent` lists the operations: the prefix of a mon or
 * mgr command, `rbd create`, `omap set`, `lock` and so on.
 */
export interface FakeCeph extends Ceph, FaultPlan {
  readonly state: FakeState;
  readonly pools: FakeState['pools'];
  readonly osds: FakeState['osds'];
  readonly auth: FakeState['auth'];
  readonly sent: string[];
  /** False: every call fails with a retryable ETIMEDOUT, as with no mon in reach. */
  reachable: boolean;
  /** Another client of the same cluster, with an id and address of its own; shares `sent` and the faults. */
  connect(address?: string): FakeClient;
  /** Stands for the real opener. Each connection is a client of this cluster. */
  readonly open: CephOpener;
  /** Lets an OSD made by `osd new` come up, as its daemon would. */
  bootOsd(id: number, spec?: FakeOsdSpec): void;
  /** Puts a watcher on an image, as an attached client does; dispose takes it away. */
  watch(place: PoolPlace, image: string, address?: string): Disposable;
}

export interface FakeClient extends Ceph {
  /** `client.4101` */
  readonly client: string;
  /** `10.1.0.1:0/4101` */
  readonly address: string;
}

export function fakeCeph(options: FakeCephOptions = {}): FakeCeph {
  const { clock = systemClock, latencyMs = 0 } = options;
  const state = createFakeState(options);
  const faults = faultInjector();
  const sent: string[] = [];
  let reachable = true;

  const connect = (address?: string): FakeClient => {
    const number = state.nextClientId++;
    const self = { client: `client.${number}`, address: address ?? `10.1.0.1:0/${number}` };
    const call = async <T>(operation: string, { signal }: CephCallOptions, effect: () => T): Promise<T> => {
      signal.throwIfAborted();
      sent.push(operation);
      faults.before(operation);
      const ms = typeof latencyMs === 'number' ? latencyMs : latencyMs(operation);
      if (ms > 0) await clock.sleep(ms, signal);
      else await Promise.resolve();
      signal.throwIfAborted();
      if (!reachable || ![...state.mons.values()].some((mon) => mon.inQuorum))
        throw cephError('ETIMEDOUT', operation, 'no mon answers');
      if (isBlocked(state, self.address, clock.now()))
        throw cephError('ESHUTDOWN', operation, 'this client is blocklisted');
      const result = effect();
      faults.after(operation);
      return result;
    };
    return { ...fakeClient(state, call, self, clock), ...self };
  };

  const first = connect();
  return {
    ...first,
    failAt: faults.failAt,
    killAt: faults.killAt,
    revive: faults.revive,
    clear: faults.clear,
    get killed() {
      return faults.killed;
    },
    state,
    pools: state.pools,
    osds: state.osds,
    auth: state.auth,
    sent,
    connect,
    open: () => connect(),
    bootOsd: (id: number, spec?: FakeOsdSpec) => bootOsd(state, id, spec),
    watch(place: PoolPlace, image: string, address = '10.1.0.9:0/4999') {
      const found = state.pools
        .get(place.pool)
        ?.namespaces.get(place.namespace ?? '')
        ?.images.get(image);
      if (!found) throw new Error(`no image ${image} to watch`);
      const watcher = { address, client: `client.${state.nextClientId++}` };
      found.watchers.push(watcher);
      return {
        [Symbol.dispose]() {
          found.watchers = found.watchers.filter((other) => other !== watcher);
        },
      };
    },
    get reachable() {
      return reachable;
    },
    set reachable(value: boolean) {
      reachable = value;
    },
  };
}

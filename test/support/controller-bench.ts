import type { Node, Pod } from 'kubernetes-types/core/v1.js';
import { onTestFinished, vi } from 'vitest';
import { Leases, Nodes, Pods } from '../../src/api/core.ts';
import {
  refOf,
  type KubeObject,
  type ObjectRef,
  type Resource,
  type Stored,
} from '../../src/api/resource.ts';
import { createManager } from '../../src/control/manager.ts';
import type { Cache } from '../../src/kube/cache.ts';
import { cacheSet } from '../../src/kube/cache-set.ts';
import type { KubeClient, Selection } from '../../src/kube/client.ts';
import { createEventRecorder } from '../../src/kube/events.ts';
import { isConflict, isNotFound } from '../../src/kube/errors.ts';
import { loadKubeConfig } from '../../src/kube/kubeconfig.ts';
import { microTime, secondTime } from '../../src/kube/micro-time.ts';
import { isLater } from '../../src/kube/resource-version.ts';
import { createKubeClient } from '../../src/kube/undici-client.ts';
import { systemClock, type Clock } from '../../src/lib/clock.ts';
import { silentLogger, type Logger } from '../../src/lib/log.ts';
import type { Environment, Register } from '../../src/standalone/controllers/environment.ts';
import { startTestApi } from './api-server.ts';

export interface Bench {
  readonly url: string;
  readonly client: KubeClient;
  readonly environment: Environment;
  readonly signal: AbortSignal;
  /** Waits by watch until `ready` says so of the selection's objects; answers what it gave. */
  until<T extends KubeObject, R>(
    resource: Resource<T>,
    ready: (objects: readonly Stored<T>[]) => R | undefined | false,
    selection?: Selection,
  ): Promise<R>;
  /** Everything of a kind, read from the server. */
  all<T extends KubeObject>(resource: Resource<T>, selection?: Selection): Promise<readonly Stored<T>[]>;
  create<T extends KubeObject>(resource: Resource<T>, object: T): Promise<Stored<T>>;
  get<T extends KubeObject>(resource: Resource<T>, ref: ObjectRef): Promise<Stored<T>>;
  merge<T extends KubeObject>(
    resource: Resource<T>,
    ref: ObjectRef,
    body: object,
    subresource?: 'status',
  ): Promise<Stored<T>>;
}

export interface BenchOptions {
  readonly clock?: Clock;
  readonly log?: Logger;
  readonly rootCa?: string;
  /** Plays the nodes: placed pods run and are ready, terminating ones go. On where not said. */
  readonly kubelet?: boolean;
  /** The client that the controllers get, in place of a plain one. */
  readonly through?: (client: KubeClient) => KubeClient;
}

const limitMs = 40_000;
// A real API server answers here, on a machine that may be busy.
vi.setConfig({ testTimeout: 60_000 });

/**
 * The real API server with some of the controllers, and nodes that only pretend to run pods. It is taken down
 * when the test that started it is over.
 */
export async function startBench(registers: readonly Register[], options: BenchOptions = {}): Promise<Bench> {
  const { clock = systemClock, log = silentLogger } = options;
  const api = await startTestApi();
  const client = createKubeClient(await loadKubeConfig(api.kubeconfig));
  const stopping = new AbortController();
  const { signal } = stopping;
  const theirs = options.through?.(client) ?? client;
  const manager = createManager({ client: theirs, clock, log });
  const environment: Environment = {
    client: theirs,
    clock,
    log,
    caches: manager.caches,
    random: () => 0.5,
    rootCa: options.rootCa ?? '',
    events: (component) => createEventRecorder({ client: theirs, component, clock, log, signal }),
  };
  for (const register of registers) register(manager, environment);
  const running = [manager.run(signal)];
  if (options.kubelet !== false) running.push(pretendKubelet(client, clock, log, signal));
  const caches = cacheSet({ client, clock: systemClock, log });
  onTestFinished(async () => {
    stopping.abort(new Error('the test is over'));
    await Promise.all(running);
    await caches.close();
    await client.close();
    await api.close();
  });

  return {
    url: api.url,
    client,
    environment,
    signal,
    async until(resource, ready, selection = {}) {
      const cache = caches.cache(resource, selection);
      await cache.synced(signal);
      return await whenReady(cache, ready);
    },
    all: async (resource, selection = {}) => (await client.list(resource, selection, { signal })).items,
    create: (resource, object) => client.create(resource, object, { signal }),
    async get(resource, ref) {
      const object = await client.get(resource, ref, { signal });
      if (!object) throw new Error(`${resource.kind} ${ref.name} is not there`);
      return object;
    },
    merge: (resource, ref, body, subresource) =>
      client.patch(resource, ref, { type: 'merge', body }, { signal, subresource }),
  };
}

/** Looks at each change until `ready` gives something; what was there instead is told when it never does. */
async function whenReady<T extends KubeObject, R>(
  cache: Cache<T>,
  ready: (objects: readonly Stored<T>[]) => R | undefined | false,
): Promise<R> {
  return await new Promise((resolve, reject) => {
    let last: unknown;
    const look = () => {
      let result;
      try {
        result = ready(cache.list());
      } catch (error) {
        last = error;
      }
      if (result === undefined || result === false || result === null) return;
      clearTimeout(timer);
      subscription[Symbol.dispose]();
      resolve(result);
    };
    const subscription = cache.onChange(look);
    const timer = setTimeout(() => {
      subscription[Symbol.dispose]();
      const state = JSON.stringify(
        cache.list().map(({ metadata, ...rest }) => ({ name: metadata.name, ...rest })),
      );
      reject(new Error(`did not happen: ${String(ready)}; ${state.slice(0, 3000)}`, { cause: last }));
    }, limitMs);
    look();
  });
}

/** A Ready node that can take pods. */
export async function addNode(
  bench: Bench,
  name: string,
  extra: { labels?: Record<string, string>; spec?: Node['spec']; allocatable?: Record<string, string> } = {},
): Promise<Stored<Node>> {
  const now = secondTime(bench.environment.clock.now());
  await bench.create(Nodes, {
    metadata: { name, labels: { 'kubernetes.io/hostname': name, ...extra.labels } },
    ...(extra.spec ? { spec: extra.spec } : {}),
  });
  const allocatable = { cpu: '4', memory: '8Gi', pods: '110', ...extra.allocatable };
  return await bench.merge(
    Nodes,
    { name },
    {
      status: {
        capacity: allocatable,
        allocatable,
        conditions: [
          {
            type: 'Ready',
            status: 'True',
            reason: 'KubeletReady',
            message: 'ready',
            lastTransitionTime: now,
            lastHeartbeatTime: now,
          },
        ],
      },
    },
    'status',
  );
}

/** One heartbeat of a node. */
export async function beat(bench: Bench, name: string): Promise<void> {
  const ref = { namespace: 'kube-node-lease', name };
  const spec = {
    holderIdentity: name,
    leaseDurationSeconds: 40,
    renewTime: microTime(bench.environment.clock.now()),
  };
  const known = await bench.client.get(Leases, ref, { signal: bench.signal });
  const { metadata } = known
    ? await bench.merge(Leases, ref, { spec })
    : await bench.create(Leases, { metadata: ref, spec });
  // Time must not go on before the controllers have heard of it.
  const cache = bench.environment.caches.cache(Leases, { namespace: ref.namespace });
  await new Promise<void>((resolve) => {
    const look = () => {
      if (isLater(metadata.resourceVersion, cache.get(ref)?.metadata.resourceVersion ?? '0')) return;
      subscription[Symbol.dispose]();
      resolve();
    };
    const subscription = cache.onChange(look);
    look();
  });
}

let lastAddress = 1;

async function pretendKubelet(
  client: KubeClient,
  clock: Clock,
  log: Logger,
  signal: AbortSignal,
): Promise<void> {
  const caches = cacheSet({ client, clock: systemClock, log });
  const pods = caches.cache(Pods);
  const act = async (pod: Stored<Pod>) => {
    if (!pod.spec?.nodeName || pod.metadata.annotations?.['test/broken'] === 'true') return;
    try {
      if (pod.metadata.deletionTimestamp !== undefined) {
        if (pod.metadata.annotations?.['test/stuck'] === 'true') return;
        await client.delete(Pods, refOf(pod), { signal, uid: pod.metadata.uid, gracePeriodSeconds: 0 });
        return;
      }
      if (pod.status?.phase !== 'Pending' && pod.status?.phase !== undefined) return;
      const time = secondTime(clock.now());
      const podIP = `10.244.${lastAddress >> 8}.${lastAddress++ & 255}`;
      const status = {
        phase: 'Running',
        podIP,
        podIPs: [{ ip: podIP }],
        hostIP: '10.245.0.11',
        startTime: time,
        conditions: [
          ...(pod.status?.conditions ?? []),
          { type: 'Ready', status: 'True', lastTransitionTime: time },
        ],
      };
      await client.patch(
        Pods,
        refOf(pod),
        { type: 'merge', body: { status } },
        { signal, subresource: 'status' },
      );
    } catch (error) {
      if (!signal.aborted && !isNotFound(error) && !isConflict(error)) throw error;
    }
  };
  pods.onChange(({ type, object }) => {
    if (type !== 'deleted') void act(object);
  });
  await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
  await caches.close();
}

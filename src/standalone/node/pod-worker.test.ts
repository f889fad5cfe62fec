import type { Pod } from 'kubernetes-types/core/v1.js';
import { beforeEach, describe, expect, test } from 'vitest';
import type { Stored } from '../../api/resource.ts';
import type { KubeClient } from '../../kube/client.ts';
import { virtualClock, type VirtualClock } from '../../lib/clock.ts';
import { silentLogger } from '../../lib/log.ts';
import type { ObservedContainer, ObservedPod } from './observed.ts';
import { podWorker, type PodWorker } from './pod-worker.ts';
import { podProbes } from './probes.ts';
import { restartBackoff } from './restart-backoff.ts';
import { StartError } from './start-error.ts';
import { VolumeResizeError } from './volumes/pod-volumes.ts';

/** A runtime and a disk with state, and an API that keeps one pod. */
interface World {
  readonly clock: VirtualClock;
  readonly done: string[];
  readonly events: string[];
  runtime: ObservedPod | undefined;
  api: Stored<Pod> | undefined;
  apiAway: boolean;
  mounts: 'ok' | 'fails' | 'hangs';
  /** A mount takes until then. */
  mountsUntil: Promise<void> | undefined;
  startFails: StartError | undefined;
  growthFails: Error | undefined;
  onDisk: boolean;
  worker: PodWorker;
  ended: boolean;
}

let version = 1;
let world: World;
let started = false;
const end = new AbortController();

const stored = (over: Partial<Pod['metadata']> = {}, status: Pod['status'] = {}): Stored<Pod> => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: {
    name: 'p',
    namespace: 'd',
    uid: 'u',
    creationTimestamp: '',
    ...over,
    resourceVersion: String(++version),
  },
  spec: { containers: [{ name: 'main', image: 'img' }], terminationGracePeriodSeconds: 30 },
  status,
});
const patchContainer = (id: string, change: Partial<ObservedContainer>) => {
  const { runtime } = world;
  if (runtime)
    world.runtime = {
      ...runtime,
      containers: runtime.containers.map((one) => (one.id === id ? { ...one, ...change } : one)),
    };
};

function hang(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason as Error)));
}

beforeEach(() => {
  const clock = virtualClock();
  const client = {
    patch: (_resource: unknown, _ref: unknown, { body }: { body: { status?: object } }) => {
      if (world.apiAway) return Promise.reject(new Error('connection refused'));
      const current = world.api;
      if (!current) return Promise.reject(new Error('gone'));
      world.api = {
        ...current,
        status: { ...current.status, ...body.status },
        metadata: { ...current.metadata, resourceVersion: String(++version) },
      };
      return Promise.resolve(world.api);
    },
    delete: () => {
      world.done.push('delete-object');
      world.api = undefined;
      return Promise.resolve(true);
    },
  } as unknown as KubeClient;
  const first = stored();
  const done: string[] = [];
  world = {
    clock,
    done,
    events: [],
    runtime: undefined,
    api: first,
    apiAway: false,
    mounts: 'ok',
    startFails: undefined,
    growthFails: undefined,
    onDisk: false,
    ended: false,
  } as unknown as World;
  world.worker = podWorker('u', first, {
    client,
    clock,
    log: silentLogger,
    nodeIp: '1.1.1.1',
    lastWords: () => Promise.resolve(''),
    backoff: restartBackoff(),
    observed: () => world.runtime,
    refresh: () => Promise.resolve(),
    event: (_pod, _type, reason) => world.events.push(reason),
    probes: (_pod, _ip, wake) =>
      podProbes({
        clock,
        run: () => Promise.resolve({ ok: true, output: '' }),
        onChange: wake,
        onUnhealthy: () => undefined,
      }),
    volumes: {
      async setup(_pod, signal) {
        done.push(`mount:${world.mounts}`);
        if (world.mounts === 'hangs') await hang(signal);
        if (world.mounts === 'fails') throw new Error('no such volume');
        await world.mountsUntil;
        world.onDisk = true;
        return new Map();
      },
      refresh: () => (world.growthFails ? Promise.reject(world.growthFails) : Promise.resolve()),
      isOnDisk: () => Promise.resolve(world.onDisk),
      hasFiles: () => Promise.resolve(false),
      teardown: () => {
        done.push('unmount');
        world.onDisk = false;
        return Promise.resolve();
      },
      removeFiles: () => Promise.resolve(),
    },
    effects: {
      runSandbox: (pod, attempt) => {
        done.push(`sandbox#${attempt}`);
        const sandbox = {
          id: `s${attempt}`,
          attempt,
          ready: true,
          createdAtMs: clock.now(),
          ips: ['2.2.2.2'],
        };
        world.runtime = {
          uid: 'u',
          name: 'p',
          namespace: 'd',
          sandboxes: [sandbox],
          containers: world.runtime?.containers ?? [],
        };
        expect(pod.metadata?.uid).toBe('u');
        return Promise.resolve();
      },
      startContainer: ({ name, attempt, sandboxId }) => {
        done.push(`start:${name}#${attempt}`);
        if (world.startFails) return Promise.reject(world.startFails);
        const container: ObservedContainer = {
          id: `${name}${attempt}`,
          name,
          attempt,
          sandboxId,
          state: 'running',
          createdAtMs: clock.now(),
          startedAtMs: clock.now(),
          image: 'img',
          imageId: 'i',
          logPath: '',
        };
        if (world.runtime)
          world.runtime = { ...world.runtime, containers: [container, ...world.runtime.containers] };
        return Promise.resolve();
      },
      async stopContainers(_pod, stops, _ip, signal) {
        for (const { id, graceSeconds } of stops) {
          done.push(`stop:${id}/${graceSeconds}`);
          if (graceSeconds > 5) await clock.sleep(graceSeconds * 1000, signal);
          patchContainer(id, { state: 'exited', exitCode: 137, finishedAtMs: clock.now() });
        }
      },
      removeContainer: () => Promise.resolve(),
      stopSandboxes: () => {
        done.push('stop-sandbox');
        if (world.runtime)
          world.runtime = {
            ...world.runtime,
            sandboxes: world.runtime.sandboxes.map((one) => ({ ...one, ready: false })),
          };
        return Promise.resolve();
      },
      removeSandboxes: () => {
        done.push('remove-sandbox');
        world.runtime = undefined;
        return Promise.resolve();
      },
    },
  });
  started = false;
});

const change = (pod: Stored<Pod> | undefined) => {
  world.api = pod;
  world.worker.update(pod);
};
const phase = () => world.api?.status?.phase;
/** Lets `ms` go by; the first call sets the worker going. */
async function settle(ms = 0): Promise<void> {
  if (!started) void world.worker.run(end.signal).then(() => (world.ended = true));
  started = true;
  await world.clock.advance(ms);
  // Several turns of the worker follow each other without a pause.
  for (let turn = 0; turn < 10; turn++) await world.clock.advance(0);
}

test('up, and down again in order', async () => {
  await settle();
  expect(world.done).toEqual(['mount:ok', 'sandbox#0', 'start:main#0']);
  expect(phase()).toBe('Running');
  world.done.length = 0;
  change(stored({ deletionTimestamp: 'now', deletionGracePeriodSeconds: 3 }, world.api?.status));
  await settle();
  expect(world.done).toEqual(['stop:main0/3', 'stop-sandbox', 'unmount', 'remove-sandbox', 'delete-object']);
  expect(world.ended).toBe(true);
});

test('a crash is restarted at once, the next one only after its backoff', async () => {
  await settle();
  const crash = (id: string) => {
    patchContainer(id, { state: 'exited', exitCode: 1, finishedAtMs: world.clock.now() });
    world.worker.wake();
  };
  crash('main0');
  await settle();
  expect(world.done.at(-1)).toBe('start:main#1');
  crash('main1');
  await settle(9_000);
  expect(world.done.at(-1)).toBe('start:main#1');
  expect(world.api?.status?.containerStatuses?.[0]?.state?.waiting?.reason).toBe('CrashLoopBackOff');
  expect(world.events).toContain('BackOff');
  await settle(1_100);
  expect(world.done.at(-1)).toBe('start:main#2');
});

describe('while the API is away', () => {
  test('a crashed container is restarted, and its status told once the API is back', async () => {
    await settle();
    world.apiAway = true;
    patchContainer('main0', { state: 'exited', exitCode: 1, finishedAtMs: world.clock.now() });
    world.worker.wake();
    await settle();
    expect(world.done.at(-1)).toBe('start:main#1');
    expect(world.api?.status?.containerStatuses?.[0]?.restartCount).toBe(0);
    world.apiAway = false;
    await settle(15_000);
    expect(world.api?.status?.containerStatuses?.[0]?.restartCount).toBe(1);
  });
});

test('a volume in use that does not grow is told as that, and the pod runs on', async () => {
  world.growthFails = new VolumeResizeError('data', new Error('no leave'));
  await settle();
  world.worker.wake(true); // The claim changed.
  await settle();
  expect(world.events).toContain('VolumeResizeFailed');
  expect(world.events).not.toContain('FailedMount');
  expect(phase()).toBe('Running');
});

describe('a mount', () => {
  test('that fails is tried again, later each time, and at once when what was missing comes', async () => {
    world.mounts = 'fails';
    await settle(10);
    await settle(10_000);
    const tries = world.done.filter((one) => one === 'mount:fails').length;
    expect(tries).toBeGreaterThan(3);
    expect(tries).toBeLessThan(8);
    expect(world.events).toContain('FailedMount');
    world.mounts = 'ok';
    world.worker.wake(true);
    await settle();
    expect(world.done.at(-1)).toBe('start:main#0');
  });
  test('that hangs is cut short by the deletion', async () => {
    world.mounts = 'hangs';
    await settle(60_000);
    expect(world.done).toEqual(['mount:hangs', 'sandbox#0']);
    change(stored({ deletionTimestamp: 'now', deletionGracePeriodSeconds: 30 }));
    await settle();
    expect(world.done.slice(2)).toEqual(['stop-sandbox', 'remove-sandbox', 'delete-object']);
  });
  test('goes on beside the sandbox, and no container starts before both', async () => {
    let mounted!: () => void;
    world.mountsUntil = new Promise((resolve) => (mounted = resolve));
    await settle(60_000);
    expect(world.done).toEqual(['mount:ok', 'sandbox#0']);
    mounted();
    await settle();
    expect(world.done).toEqual(['mount:ok', 'sandbox#0', 'start:main#0']);
  });
  test('that fails takes the sandbox and its address away, until it is there', async () => {
    world.mounts = 'fails';
    await settle(10);
    await settle(10_000);
    expect(world.done.slice(0, 5)).toEqual([
      'mount:fails',
      'sandbox#0',
      'stop-sandbox',
      'remove-sandbox',
      'mount:fails',
    ]);
    expect(world.api?.status?.podIP).toBeFalsy();
    world.mounts = 'ok';
    await settle(120_000);
    expect(world.done.slice(-3)).toEqual(['mount:ok', 'sandbox#0', 'start:main#0']);
    expect(world.done.filter((one) => one === 'sandbox#0')).toHaveLength(2);
    expect(phase()).toBe('Running');
    expect(world.api?.status?.podIP).toBeDefined();
  });
});

test('a stop is cut short by a shorter grace, and by the object vanishing', async () => {
  await settle();
  change(stored({ deletionTimestamp: 'now', deletionGracePeriodSeconds: 300 }, world.api?.status));
  await settle(1_000);
  expect(world.done.at(-1)).toBe('stop:main0/300');
  change(undefined);
  await settle();
  expect(world.done.slice(-4)).toEqual(['stop:main0/2', 'stop-sandbox', 'unmount', 'remove-sandbox']);
  expect(world.ended).toBe(true);
});

test('an image that is not there: the error, then its backoff, then another try', async () => {
  await settle();
  change(stored({}, {}));
  patchContainer('main0', { state: 'exited', exitCode: 1, finishedAtMs: world.clock.now() });
  world.startFails = new StartError('ErrImagePull', 'not in the image table');
  world.worker.wake();
  await settle();
  const reason = () => world.api?.status?.containerStatuses?.[0]?.state?.waiting?.reason;
  expect(reason()).toBe('ErrImagePull');
  await settle(3_100);
  expect(reason()).toBe('ImagePullBackOff');
  const before = world.done.length;
  await settle(7_000);
  expect(world.done.length).toBe(before + 1);
  world.startFails = undefined;
  await settle(25_000);
  expect(reason()).toBeUndefined();
  expect(phase()).toBe('Running');
});

test('an older object than the one known is not believed', async () => {
  await settle();
  const old = {
    ...stored({ deletionTimestamp: 'now' }),
    metadata: { ...stored().metadata, resourceVersion: '1', deletionTimestamp: 'now' },
  };
  world.worker.update(old);
  await settle();
  expect(world.done.at(-1)).toBe('start:main#0');
});

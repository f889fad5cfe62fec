import { mkdtemp, readdir, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { virtualClock } from '../lib/clock.ts';
import { silentLogger } from '../lib/log.ts';
import { identifyProcess, type ProcessIdentity } from '../lib/process-identity.ts';
import { qsdAttacher } from './attach-qsd.ts';
import { isDeviceBusy } from './device-busy.ts';
import { fakeHost } from './fake/fake-host.ts';
import { backingOf, type LoopDevice, type Loops } from './loops.ts';
import type { QsdDaemon } from './qsd-daemon.ts';
import { hostTools } from './tools.ts';

const { signal } = new AbortController();
const image = { clusterId: 'c', pool: 'p', image: 'i' };
const request = { ...image, monHost: 'h', user: 'client.u', key: 'c2VjcmV0', readOnly: false };

let stateDir: string;
beforeEach(async () => {
  stateDir = await mkdtemp(join(tmpdir(), 'qsd-'));
});
afterEach(() => rm(stateDir, { recursive: true }));

/** Loops and daemons in memory over a real ledger; this very process stands for a living daemon. */
async function bench() {
  const host = fakeHost();
  const clock = virtualClock();
  const present: (LoopDevice & { autoclear: boolean; heldElsewhere?: boolean })[] = [];
  const self = (await identifyProcess(process.pid)) as ProcessIdentity;
  const world = {
    daemons: new Set<string>(),
    /** Pids that were moved out of this container's cgroup. */
    moved: [] as number[],
    moveError: undefined as Error | undefined,
    startError: undefined as Error | undefined,
    loopError: undefined as Error | undefined,
  };
  const loops: Loops = {
    list: async () => present.map((loop) => ({ ...loop })),
    async attach(file, { directIo, readOnly }) {
      if (world.loopError) throw world.loopError;
      const minor = present.length;
      const loop = {
        device: `/dev/loop${minor}`,
        major: 7,
        minor,
        backing: await backingOf(file),
        backingPath: file,
        autoclear: false,
        directIo,
        readOnly,
      };
      present.push(loop);
      return loop;
    },
    async detach({ device }) {
      const at = present.findIndex((loop) => loop.device === device);
      const loop = present[at];
      if (!loop) return;
      const used =
        loop.heldElsewhere || host.table.some((entry) => entry.minor === loop.minor && entry.major === 7);
      if (used) loop.autoclear = true;
      else present.splice(at, 1);
    },
    setCapacity: async () => undefined,
    sizeBytes: async () => 1024n,
  };
  const daemon: QsdDaemon = {
    async start(_request, files) {
      if (world.startError) throw world.startError;
      world.daemons.add(files.dir);
      return self;
    },
    find: async (files) => (world.daemons.has(files.dir) ? self : undefined),
    resize: async () => undefined,
    async stop(files) {
      world.daemons.delete(files.dir);
    },
  };
  const attacher = qsdAttacher({
    tools: hostTools(),
    loops,
    mounts: host.mounts,
    daemon,
    cgroup: {
      async take(pid) {
        if (world.moveError) throw world.moveError;
        world.moved.push(pid);
      },
    },
    clock,
    log: silentLogger,
    stateDir,
  });
  const mount = async (device: string) => {
    host.contents.set(device, { kind: 'signature', type: 'xfs', usage: 'filesystem', uuid: undefined });
    await host.mounts.mount({ source: device, target: '/t', fsType: 'xfs' }, signal);
  };
  return { attacher, present, world, host, clock, mount };
}

test('attached twice is one device; a second attach while it is staged with autoclear gives the same', async () => {
  const { attacher, present, mount } = await bench();
  const device = await attacher.attach(request, signal);
  expect(await attacher.attach(request, signal)).toEqual(device);
  await mount(device.device);
  await attacher.releaseWithLastUser(image, signal);
  expect(present[0]?.autoclear).toBe(true);
  expect(await attacher.attach(request, signal)).toEqual(device);
});

test('detach is refused while mounted here, and while a pod elsewhere holds the loop: the daemon lives on', async () => {
  const { attacher, present, world, host, clock, mount } = await bench();
  const device = await attacher.attach(request, signal);
  await mount(device.device);
  expect(isDeviceBusy(await attacher.detach(image, signal).catch((error: unknown) => error))).toBe(true);
  await host.mounts.unmount('/t', {}, signal);
  present[0]!.heldElsewhere = true;
  const outcomes: unknown[] = [];
  const refused = attacher.detach(image, signal).catch((error: unknown) => outcomes.push(error));
  // The ledger is real files, so time goes on until the answer is there.
  while (outcomes.length === 0) await clock.advance(50);
  await refused;
  expect(String(outcomes[0])).toContain('another mount namespace');
  expect(world.daemons.size).toBe(1);
  present.length = 0; // The pod ended, and autoclear took the loop.
  await attacher.detach(image, signal);
  expect(world.daemons.size).toBe(0);
  expect(await readdir(stateDir)).toEqual([]);
});

test('a daemon that does not start, or a loop that is not to be had, leaves neither daemon nor key', async () => {
  for (const failure of ['startError', 'loopError'] as const) {
    const { attacher, world } = await bench();
    world[failure] = new Error('no luck');
    await expect(attacher.attach(request, signal)).rejects.toThrow('no luck');
    expect(world.daemons.size).toBe(0);
    expect(await readdir(stateDir)).toEqual([]);
    world[failure] = undefined;
    expect(await attacher.attach(request, signal)).toMatchObject({ ...image, alive: true });
    await attacher.detach(image, signal);
  }
});

test('a daemon is moved to where it outlives this container; one that cannot be serves all the same', async () => {
  const { attacher, world } = await bench();
  await attacher.attach(request, signal);
  expect(world.moved).toEqual([process.pid]);
  await attacher.detach(image, signal);
  world.moveError = new Error('the node has no cgroups');
  expect(await attacher.attach(request, signal)).toMatchObject({ ...image, alive: true });
  await attacher.detach(image, signal);
});

test('the ledger and the key are for root alone', async () => {
  const { attacher } = await bench();
  await attacher.attach(request, signal);
  const [name = ''] = await readdir(stateDir);
  expect((await stat(join(stateDir, name))).mode & 0o777).toBe(0o700);
  for (const file of ['keyring', 'ceph.conf', 'ledger.json'])
    expect((await stat(join(stateDir, name, file))).mode & 0o777).toBe(0o600);
});

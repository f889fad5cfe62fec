import { virtualClock } from '../../lib/clock.ts';
import { silentLogger } from '../../lib/log.ts';
import { identifyProcess, type ProcessIdentity } from '../../lib/process-identity.ts';
import { qsdAttacher } from '../attach-qsd.ts';
import { backingOf, type LoopDevice, type Loops } from '../loops.ts';
import type { QsdDaemon } from '../qsd-daemon.ts';
import type { Remounter } from '../remounter.ts';
import { hostTools } from '../tools.ts';
import { fakeHost, type FakeHost } from './fake-host.ts';

/** What a test lets happen, and what it saw. */
interface World {
  readonly daemons: Set<string>;
  /** Pids that were moved out of this container's cgroup. */
  readonly moved: number[];
  /** What was done for healing, in order. */
  readonly steps: string[];
  startError: Error | undefined;
  loopError: Error | undefined;
  moveError: Error | undefined;
  /** What a move out of this container's cgroup takes. */
  moveTakes: Promise<void> | undefined;
  /** Whole lists of the node's loops. */
  loopLists: number;
  remountError: Error | undefined;
  bootId: string;
  /** Daemons started while this is set die at once. */
  fatal: boolean;
}

interface PresentLoop extends Omit<LoopDevice, 'backing' | 'autoclear'> {
  backing: LoopDevice['backing'];
  autoclear: boolean;
  sequence: string;
  heldElsewhere?: boolean;
}

/** Loops and daemons in memory over a real ledger; this very process stands for a living daemon. */
export async function qsdBench(stateDir: string) {
  const host = fakeHost();
  const clock = virtualClock();
  const present: PresentLoop[] = [];
  const self = (await identifyProcess(process.pid)) as ProcessIdentity;
  const world: World = {
    daemons: new Set(),
    moved: [],
    steps: [],
    startError: undefined,
    loopError: undefined,
    moveError: undefined,
    moveTakes: undefined,
    loopLists: 0,
    remountError: undefined,
    bootId: 'boot-1',
    fatal: false,
  };
  const newAttacher = () =>
    qsdAttacher({
      tools: hostTools(),
      loops: loopsOf(world, present, host),
      mounts: host.mounts,
      daemon: daemonOf(world, present, self),
      cgroup: {
        async take(pid) {
          await world.moveTakes;
          if (world.moveError) throw world.moveError;
          world.moved.push(pid);
        },
      },
      bootId: async () => world.bootId,
      clock,
      log: silentLogger,
      stateDir,
      fence: async ({ image, user, key }) => void world.steps.push(`fence ${image} as ${user} with ${key}`),
      remounter: remounterOf(world, host),
    });
  const attacher = newAttacher();
  const mount = async (device: string) => {
    host.contents.set(device, { kind: 'signature', type: 'xfs', usage: 'filesystem', uuid: undefined });
    const request = { source: device, target: '/t', fsType: 'xfs' };
    await host.mounts.mount(request, AbortSignal.timeout(10_000));
  };
  return { attacher, newAttacher, present, world, host, clock, mount };
}

function loopsOf(world: World, present: PresentLoop[], { table }: FakeHost): Loops {
  let sequence = present.length;
  return {
    async list() {
      world.loopLists++;
      return present.map((loop) => ({ ...loop }));
    },
    async attach(file, { directIo, readOnly, device, avoid }) {
      if (world.loopError) throw world.loopError;
      const taken = new Set(present.map((one) => one.minor));
      let minor = 0;
      if (device) minor = Number(device.slice(9));
      else while (taken.has(minor) || avoid?.has(`/dev/loop${minor}`)) minor++;
      if (taken.has(minor)) throw new Error(`${device} is taken`);
      const loop = {
        device: `/dev/loop${minor}`,
        major: 7,
        minor,
        backing: await backingOf(file),
        backingPath: file,
        autoclear: false,
        directIo,
        readOnly,
        sequence: String(++sequence),
      };
      present.push(loop);
      return loop;
    },
    async detach({ device }) {
      const at = present.findIndex((loop) => loop.device === device);
      const loop = present[at];
      if (!loop) return;
      const mounted = table.some((entry) => entry.minor === loop.minor && entry.major === 7);
      if (loop.heldElsewhere || mounted) loop.autoclear = true;
      else present.splice(at, 1);
    },
    setCapacity: async () => undefined,
    sizeBytes: async () => 1024n,
    sequence: async ({ minor }) => present.find((one) => one.minor === minor)?.sequence,
  };
}

function daemonOf(world: World, present: PresentLoop[], self: ProcessIdentity): QsdDaemon {
  return {
    async start(_request, files) {
      if (world.startError) throw world.startError;
      world.daemons.add(files.dir);
      // A loop on the file of the daemon before answers nothing any more.
      for (const loop of present)
        if (loop.backingPath === files.export) loop.backing = { major: -1, minor: -1, inode: -1 };
      world.steps.push('start');
      return world.fatal ? { ...self, startTicks: -1 } : self;
    },
    find: async (files) => (world.daemons.has(files.dir) ? self : undefined),
    resize: async () => undefined,
    async stop(files) {
      world.daemons.delete(files.dir);
    },
  };
}

function remounterOf(world: World, { table }: FakeHost): Remounter {
  return async ({ device, source }) => {
    if (world.remountError) throw world.remountError;
    const old = table.filter((entry) => entry.major === device.major && entry.minor === device.minor);
    const fresh = table.find((entry) => entry.mountPoint === source);
    world.steps.push(`remount ${old.map(({ mountPoint }) => mountPoint).join()}`);
    for (const entry of old)
      table.splice(table.indexOf(entry), 1, { ...entry, ...fresh, mountPoint: entry.mountPoint });
    return { replaced: old.map(({ mountPoint }) => ({ pid: 1, mountPoint })), failed: [] };
  };
}

import { readdir, readFile } from 'node:fs/promises';
import { keyedLock } from '../lib/keyed-lock.ts';
import type { AttachedDevice, AttachRequest, ImageSpec, RbdAttacher } from './attacher.ts';
import { DeviceBusyError } from './device-busy.ts';
import { heal, restart, unhealed, type HealReport } from './heal-qsd.ts';
import { backingOf, hasBacking } from './loops.ts';
import { qsdLedger, type LedgerEntry } from './qsd-ledger.ts';
import {
  addLoop,
  isThere,
  letOutlive,
  livingDaemon,
  loopOf,
  recordedLoop,
  mountPointOf,
  startDaemon,
  stopDaemon,
  waitUntilFree,
  type QsdStepDeps,
} from './qsd-steps.ts';
import type { HostTools } from './tools.ts';
import { pathExists } from '../lib/path-exists.ts';

export interface QsdAttacherDeps extends Omit<QsdStepDeps, 'ledger' | 'bootId'> {
  /** Of the running kernel, where not said. */
  bootId?(): Promise<string>;
  readonly tools: HostTools;
  /** Mode 0700 and short: a unix socket's path in it has at most 107 bytes. */
  readonly stateDir: string;
}

export interface QsdAttacher extends RbdAttacher {
  readonly name: 'qsd';
  /**
   * Lets the loop go away with its last user. Called while the device is mounted, so that nothing is left behind
   * when the node dies; after the unmount, detach then finds only the daemon. What was mounted is kept, for healing.
   */
  releaseWithLastUser(
    image: ImageSpec,
    signal: AbortSignal,
    filesystem?: LedgerEntry['filesystem'],
  ): Promise<void>;
  /** Images whose daemon died and that are not healed yet. */
  unhealed(): Promise<readonly ImageSpec[]>;
  /** Undefined where there is nothing to heal. Throws HeldDeviceError for a block device that is in use. */
  heal(image: ImageSpec, signal: AbortSignal): Promise<HealReport | undefined>;
}

const growLimitMs = 10_000;
const undoLimitMs = 10_000;

/**
 * RBD by qemu-storage-daemon: librbd -> a FUSE file -> a loop with direct I/O. For kernels without krbd and nbd,
 * and for images with features that those do not know.
 */
export function qsdAttacher(options: QsdAttacherDeps): QsdAttacher {
  const ledger = qsdLedger(options.stateDir);
  const bootId = async () => (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim();
  const deps: QsdStepDeps = { bootId, ...options, ledger };
  const locks = keyedLock(() => deps.clock.now());
  const locked = <T>(image: ImageSpec, signal: AbortSignal, body: () => Promise<T>) =>
    locks.run(ledger.files(image).dir, signal, body);
  return {
    name: 'qsd',
    async unusable() {
      for (const path of [options.tools.path('qemu-storage-daemon'), '/dev/fuse'])
        if (!(await pathExists(path))) return `${path} is missing`;
      // A virtual node has loops of its own and no control device, which would hand out the machine's.
      const hasLoops = (await readdir('/dev')).some((name) => /^loop(-control|\d+)$/.test(name));
      return hasLoops ? undefined : '/dev has no loop devices';
    },
    attach: (request, signal) => locked(request, signal, () => attach(deps, request, signal)),
    detach: (image, signal) => locked(image, signal, () => detach(deps, image, signal)),
    resize: (image, sizeBytes, signal) => locked(image, signal, () => resize(deps, image, sizeBytes, signal)),
    holds: async (image) => (await ledger.read(image)) !== undefined,
    list: (signal) => list(deps, signal),
    unhealed: () => unhealed(deps),
    heal: (image, signal) => locked(image, signal, () => heal(deps, image, signal)),
    releaseWithLastUser: (image, signal, filesystem) =>
      locked(image, signal, async () => {
        const entry = await ledger.read(image);
        if (entry && filesystem) await ledger.write({ ...entry, filesystem });
        const loop = entry && ((await recordedLoop(deps, entry)) ?? (await loopOf(deps, entry, signal)));
        if (!loop) return;
        if ((await mountPointOf(deps, loop)) === undefined)
          throw new Error(`${loop.device} is not mounted; it would go away at once`);
        await deps.loops.detach(loop, signal);
      }),
  };
}

async function attach(
  deps: QsdStepDeps,
  request: AttachRequest,
  signal: AbortSignal,
): Promise<AttachedDevice> {
  const entry = await deps.ledger.read(request);
  const adopted = entry && (await adopt(deps, entry));
  if (adopted) {
    const loop = await loopOf(deps, adopted, signal);
    // One with autoclear but mounted is in its place; one that is not is on its way out.
    if (loop && (!loop.autoclear || (await mountPointOf(deps, loop)) !== undefined))
      return deviceOf({ ...adopted, loop }, true);
    if (loop) await waitUntilFree(deps, adopted, signal);
  }
  try {
    const revived = entry && !adopted ? await restart(deps, entry, request, signal) : undefined;
    const running = adopted ?? revived ?? (await startDaemon(deps, request, {}, signal));
    return deviceOf(await addLoop(deps, running, signal), true);
  } catch (error) {
    // A failed or aborted attach must not leave a daemon, or a key, that nobody asked for.
    const left = await deps.ledger.read(request);
    // One that others still wait for is healed instead.
    if (left && !left.dead?.length)
      await stopDaemon(deps, left, AbortSignal.timeout(undoLimitMs)).catch((cause: unknown) =>
        deps.log.warn(
          { err: cause, image: request.image },
          'a half-made attachment stays until it is detached',
        ),
      );
    throw error;
  }
}

/** The entry with its living daemon, which this process or one before it started; undefined where it is dead. */
async function adopt(deps: QsdStepDeps, entry: LedgerEntry): Promise<LedgerEntry | undefined> {
  const daemon = await livingDaemon(deps, entry);
  if (!daemon) return undefined;
  await letOutlive(deps, entry.image, daemon); // A process before us may have died between start and move.
  const backing = entry.backing ?? (await backingOf(deps.ledger.files(entry.image).export));
  return { ...entry, daemon, backing };
}

async function detach(deps: QsdStepDeps, image: ImageSpec, signal: AbortSignal): Promise<void> {
  const entry = await deps.ledger.read(image);
  if (!entry) return;
  // After a daemon's death its loop answers nothing that it could be known by, but for its sequence.
  const alive = await livingDaemon(deps, entry);
  for (const dead of [...(entry.dead ?? []), ...(entry.loop && !alive ? [entry.loop] : [])])
    if (await isThere(deps, entry, dead)) await deps.loops.detach(dead, signal);
  const loop = alive && (await loopOf(deps, entry, signal));
  if (loop) {
    const mountPoint = await mountPointOf(deps, loop);
    if (mountPoint !== undefined) throw new DeviceBusyError(loop.device, `the mount at ${mountPoint}`);
    // Succeeds of a loop that a pod still holds, too: only its absence proves that the daemon is free to go.
    await deps.loops.detach(loop, signal);
    await waitUntilFree(deps, entry, signal);
  }
  await stopDaemon(deps, entry, signal);
}

async function resize(
  deps: QsdStepDeps,
  image: ImageSpec,
  sizeBytes: bigint,
  signal: AbortSignal,
): Promise<bigint> {
  const { loops, daemon, ledger, clock } = deps;
  const entry = await ledger.read(image);
  const loop = entry && (await loopOf(deps, entry, signal));
  if (!loop) throw new Error(`${image.image} is not attached`);
  const present = await loops.sizeBytes(loop);
  if (sizeBytes <= present) return present; // block_resize would cut the image off.
  await daemon.resize(ledger.files(image), sizeBytes, signal);
  // FUSE keeps a file's size for a second, so the loop is told until it sees the new one.
  for (let waitedMs = 0; waitedMs < growLimitMs; waitedMs += 100) {
    await loops.setCapacity(loop, signal);
    const now = await loops.sizeBytes(loop);
    if (now >= sizeBytes) return now;
    await clock.sleep(100, signal);
  }
  throw new Error(`${loop.device} does not see the new size of ${image.image}`);
}

async function list(deps: QsdStepDeps, signal: AbortSignal): Promise<AttachedDevice[]> {
  const present = await deps.loops.list(signal);
  const devices: AttachedDevice[] = [];
  for (const entry of await deps.ledger.list()) {
    const { backing } = entry;
    const loop = (backing && present.find((one) => hasBacking(one, backing))) ?? entry.loop;
    const alive = (await livingDaemon(deps, entry)) !== undefined;
    if (loop) devices.push(deviceOf({ ...entry, loop }, alive));
  }
  return devices;
}

function deviceOf({ image, loop }: Pick<LedgerEntry, 'image' | 'loop'>, alive: boolean): AttachedDevice {
  if (!loop) throw new Error(`${image.image} has no loop`);
  return { ...image, device: loop.device, major: loop.major, minor: loop.minor, alive };
}

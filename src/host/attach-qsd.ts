import { access, mkdir, writeFile } from 'node:fs/promises';
import { writeFileAtomic } from '../lib/atomic-file.ts';
import type { Clock } from '../lib/clock.ts';
import { keyedLock } from '../lib/keyed-lock.ts';
import type { Logger } from '../lib/log.ts';
import { isRunning, type ProcessIdentity } from '../lib/process-identity.ts';
import type { AttachedDevice, AttachRequest, ImageSpec, RbdAttacher } from './attacher.ts';
import { DeviceBusyError } from './device-busy.ts';
import { backingOf, hasBacking, type BackingFile, type LoopDevice, type Loops } from './loops.ts';
import { mountAt, mountsOfDevice, type Mounts } from './mounts.ts';
import { qsdConf, type QsdDaemon } from './qsd-daemon.ts';
import { qsdLedger, type LedgerEntry } from './qsd-ledger.ts';
import type { HostTools } from './tools.ts';

export interface QsdAttacherDeps {
  readonly tools: HostTools;
  readonly loops: Loops;
  readonly mounts: Mounts;
  readonly daemon: QsdDaemon;
  readonly clock: Clock;
  readonly log: Logger;
  /** Mode 0700 and short: a unix socket's path in it has at most 107 bytes. */
  readonly stateDir: string;
}

export interface QsdAttacher extends RbdAttacher {
  readonly name: 'qsd';
  /**
   * Lets the loop go away with its last user. Called while the device is mounted, so that nothing is left behind
   * when the node dies; after the unmount, detach then finds only the daemon.
   */
  releaseWithLastUser(image: ImageSpec, signal: AbortSignal): Promise<void>;
  /** Where the FUSE file of an image is, for healing a mount whose daemon died. */
  exportPath(image: ImageSpec): string;
}

const freeLimitMs = 3_000;
const growLimitMs = 10_000;
const undoLimitMs = 10_000;

/**
 * RBD by qemu-storage-daemon: librbd -> a FUSE file -> a loop with direct I/O. For kernels without krbd and nbd,
 * and for images with features that those do not know.
 */
export function qsdAttacher(deps: QsdAttacherDeps): QsdAttacher {
  const { tools, loops, mounts, daemon, clock, log } = deps;
  const ledger = qsdLedger(deps.stateDir);
  const locks = keyedLock(() => clock.now());
  const keyOf = (image: ImageSpec) => ledger.files(image).dir;

  /** The daemon of an entry, from the ledger or, where the ledger was not yet written, from /proc. */
  const living = async (entry: LedgerEntry): Promise<ProcessIdentity | undefined> => {
    if (entry.daemon) return (await isRunning(entry.daemon)) ? entry.daemon : undefined;
    return await daemon.find(ledger.files(entry.image));
  };

  const loopOf = async (entry: LedgerEntry, signal: AbortSignal): Promise<LoopDevice | undefined> => {
    const { backing } = entry;
    return backing && (await loops.list(signal)).find((loop) => hasBacking(loop, backing));
  };

  const refuseInUse = async (loop: LoopDevice) => {
    const [mounted] = mountsOfDevice(await mounts.list(), loop);
    if (mounted) throw new DeviceBusyError(loop.device, `the mount at ${mounted.mountPoint}`);
  };

  const waitUntilFree = async (entry: LedgerEntry, signal: AbortSignal) => {
    for (let waitedMs = 0; ; waitedMs += 50) {
      const loop = await loopOf(entry, signal);
      if (!loop) return;
      if (waitedMs >= freeLimitMs)
        throw new DeviceBusyError(
          loop.device,
          'a mount in another mount namespace, such as a pod that still runs',
        );
      await clock.sleep(50, signal);
    }
  };

  /** After a daemon's death: frees what nobody uses, cuts loose the dead FUSE file. */
  const clearDead = async (entry: LedgerEntry, signal: AbortSignal) => {
    const files = ledger.files(entry.image);
    const loop = await loopOf(entry, signal);
    // In use it gets autoclear, and goes away once the dead filesystem on it is unmounted.
    if (loop) await loops.detach(loop, signal);
    while (await mounts.unmount(files.export, { lazy: true }, signal))
      log.info({ image: entry.image.image }, 'dead export unmounted');
  };

  const start = async (request: AttachRequest, signal: AbortSignal): Promise<LedgerEntry> => {
    const image = imageOf(request);
    const files = ledger.files(image);
    await mkdir(files.dir, { recursive: true, mode: 0o700 });
    const entry: LedgerEntry = { image, readOnly: request.readOnly };
    await ledger.write(entry);
    await writeFileAtomic(files.keyring, `[${entityOf(request.user)}]\n\tkey = ${request.key}\n`, 0o600);
    await writeFileAtomic(files.conf, qsdConf(request, files), 0o600);
    await writeFile(files.export, '', { mode: 0o600 });
    const process = await daemon.start(request, files, signal);
    const started = { ...entry, daemon: process, backing: await backingOf(files.export) };
    await ledger.write(started);
    return started;
  };

  const addLoop = async (entry: LedgerEntry, signal: AbortSignal): Promise<LedgerEntry> => {
    const { device, major, minor } = await loops.attach(
      ledger.files(entry.image).export,
      { directIo: true, readOnly: entry.readOnly },
      signal,
    );
    const complete = { ...entry, loop: { device, major, minor } };
    await ledger.write(complete);
    return complete;
  };

  const attach = async (request: AttachRequest, signal: AbortSignal): Promise<AttachedDevice> => {
    let entry = await ledger.read(request);
    const process = entry && (await living(entry));
    if (entry && process) {
      // Adopted: this process, or one before it, started that daemon.
      const backing: BackingFile = entry.backing ?? (await backingOf(ledger.files(request).export));
      entry = { ...entry, daemon: process, backing };
      const loop = await loopOf(entry, signal);
      if (loop && !loop.autoclear) return deviceOf({ ...entry, loop }, true);
      if (loop) await waitUntilFree(entry, signal); // On its way out: a new one, once it is gone.
    } else if (entry) await clearDead(entry, signal);
    try {
      const running = process && entry ? entry : await start(request, signal);
      return deviceOf(await addLoop(running, signal), true);
    } catch (error) {
      // A failed or aborted attach must not leave a daemon, or a key, that nobody asked for.
      const left = await ledger.read(request);
      if (left)
        await stop(left, AbortSignal.timeout(undoLimitMs)).catch((cause: unknown) =>
          log.warn({ err: cause, image: request.image }, 'a half-made attachment stays until it is detached'),
        );
      throw error;
    }
  };

  const stop = async (entry: LedgerEntry, signal: AbortSignal) => {
    const files = ledger.files(entry.image);
    const process = await living(entry);
    if (process) await daemon.stop(files, process, signal);
    while (mountAt(await mounts.list(), files.export))
      await mounts.unmount(files.export, { lazy: true }, signal);
    await ledger.forget(entry.image);
  };

  return {
    name: 'qsd',
    async unusable() {
      for (const path of [tools.path('qemu-storage-daemon'), '/dev/fuse', '/dev/loop-control'])
        if (!(await exists(path))) return `${path} is missing`;
      return undefined;
    },
    attach: (request, signal) => locks.run(keyOf(request), signal, () => attach(request, signal)),
    detach: (image, signal) =>
      locks.run(keyOf(image), signal, async () => {
        const entry = await ledger.read(image);
        if (!entry) return;
        const loop = await loopOf(entry, signal);
        if (loop) {
          await refuseInUse(loop);
          await loops.detach(loop, signal);
          await waitUntilFree(entry, signal);
        }
        await stop(entry, signal);
      }),
    resize: (image, sizeBytes, signal) =>
      locks.run(keyOf(image), signal, async () => {
        const entry = await ledger.read(image);
        const loop = entry && (await loopOf(entry, signal));
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
      }),
    list: async (signal) => {
      const present = await loops.list(signal);
      const devices: AttachedDevice[] = [];
      for (const entry of await ledger.list()) {
        const { backing } = entry;
        const loop = backing && present.find((candidate) => hasBacking(candidate, backing));
        const alive = (await living(entry)) !== undefined;
        if (loop) devices.push(deviceOf({ ...entry, loop }, alive));
        else if (entry.loop) devices.push(deviceOf({ ...entry, loop: entry.loop }, alive));
      }
      return devices;
    },
    releaseWithLastUser: (image, signal) =>
      locks.run(keyOf(image), signal, async () => {
        const entry = await ledger.read(image);
        const loop = entry && (await loopOf(entry, signal));
        if (!loop) return;
        if (mountsOfDevice(await mounts.list(), loop).length === 0)
          throw new Error(`${loop.device} is not mounted; it would go away at once`);
        await loops.detach(loop, signal);
      }),
    exportPath: (image) => ledger.files(image).export,
  };
}

const entityOf = (user: string) => (user.includes('.') ? user : `client.${user}`);

const imageOf = ({ clusterId, pool, namespace, image }: ImageSpec): LedgerEntry['image'] => ({
  clusterId,
  pool,
  ...(namespace ? { namespace } : {}),
  image,
});

function deviceOf(entry: Pick<LedgerEntry, 'image' | 'loop'>, alive: boolean): AttachedDevice {
  const { loop } = entry;
  if (!loop) throw new Error(`${entry.image.image} has no loop`);
  return { ...entry.image, device: loop.device, major: loop.major, minor: loop.minor, alive };
}

const exists = (path: string) =>
  access(path).then(
    () => true,
    () => false,
  );

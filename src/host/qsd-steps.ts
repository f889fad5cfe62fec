import { mkdir, writeFile } from 'node:fs/promises';
import { cephxEntity } from '../lib/cephx-user.ts';
import type { Clock } from '../lib/clock.ts';
import type { Logger } from '../lib/log.ts';
import { isRunning, type ProcessIdentity } from '../lib/process-identity.ts';
import type { AttachRequest, ImageSpec } from './attacher.ts';
import type { DaemonCgroup } from './daemon-cgroup.ts';
import { DeviceBusyError } from './device-busy.ts';
import { backingOf, hasBacking, type LoopDevice, type Loops } from './loops.ts';
import { mountAt, mountsOfDevice, type Mounts } from './mounts.ts';
import { qsdConf, type QsdDaemon } from './qsd-daemon.ts';
import type { LedgerEntry, QsdLedger } from './qsd-ledger.ts';
import type { Remounter } from './remounter.ts';

export interface QsdStepDeps {
  readonly loops: Loops;
  readonly mounts: Mounts;
  readonly daemon: QsdDaemon;
  /** Where daemons outlive the container of this process; absent where this process is in none. */
  readonly cgroup?: DaemonCgroup | undefined;
  readonly ledger: QsdLedger;
  /** Keeps what a dead daemon still had under way out of the image; absent where nothing can. */
  readonly fence?: Fence | undefined;
  readonly remounter?: Remounter | undefined;
  /** Of the running kernel. */
  bootId(): Promise<string>;
  readonly clock: Clock;
  readonly log: Logger;
}

/**
 * Resolves once no client of this node can write to the image any more. Rejects where the image is another node's
 * by now.
 */
export type Fence = (request: AttachRequest, signal: AbortSignal) => Promise<void>;

const freeLimitMs = 3_000;
type RecordedLoop = NonNullable<LedgerEntry['loop']>;

// The steps of attaching and detaching an image. Each can be done again after it was cut short.

/** One of an older build, which noted no boot, is taken for one of this boot. */
export const isOfThisBoot = async ({ bootId }: QsdStepDeps, entry: LedgerEntry): Promise<boolean> =>
  entry.bootId === undefined || entry.bootId === (await bootId());

/** The daemon of an entry, from the ledger or, where that was not yet written, from /proc. */
export async function livingDaemon(
  deps: QsdStepDeps,
  entry: LedgerEntry,
): Promise<ProcessIdentity | undefined> {
  if (!(await isOfThisBoot(deps, entry))) return undefined;
  const { daemon, ledger } = deps;
  if (entry.daemon) return (await isRunning(entry.daemon)) ? entry.daemon : undefined;
  return await daemon.find(ledger.files(entry.image));
}

export async function loopOf(
  { loops }: QsdStepDeps,
  { backing }: LedgerEntry,
  signal: AbortSignal,
): Promise<LoopDevice | undefined> {
  return backing && (await loops.list(signal)).find((loop) => hasBacking(loop, backing));
}

/** The loop on record where it still is the entry's: one look into sysfs, where a list of all takes a command. */
export async function recordedLoop(deps: QsdStepDeps, entry: LedgerEntry): Promise<RecordedLoop | undefined> {
  return entry.loop && (await isThere(deps, entry, entry.loop)) ? entry.loop : undefined;
}

/** Where a loop is mounted, as far as this mount namespace shows. */
export async function mountPointOf(
  { mounts }: QsdStepDeps,
  loop: Pick<LoopDevice, 'major' | 'minor'>,
): Promise<string | undefined> {
  return mountsOfDevice(await mounts.list(), loop)[0]?.mountPoint;
}

/** Waits until no loop has the entry's file any more; throws DeviceBusyError where that does not come soon. */
export async function waitUntilFree(
  deps: QsdStepDeps,
  entry: LedgerEntry,
  signal: AbortSignal,
): Promise<void> {
  for (let waitedMs = 0; ; waitedMs += 50) {
    const loop = await loopOf(deps, entry, signal);
    if (!loop) return;
    if (waitedMs >= freeLimitMs)
      throw new DeviceBusyError(
        loop.device,
        'a mount in another mount namespace, such as a pod that still runs',
      );
    await deps.clock.sleep(50, signal);
  }
}

/** Whether a recorded loop still has the file it was recorded with: of a dead one nothing else can be asked. */
export async function isThere(deps: QsdStepDeps, entry: LedgerEntry, loop: RecordedLoop): Promise<boolean> {
  if (loop.sequence === undefined || !(await isOfThisBoot(deps, entry))) return false;
  return (await deps.loops.sequence(loop)) === loop.sequence;
}

export async function unmountExport(
  { mounts, ledger }: QsdStepDeps,
  { image }: LedgerEntry,
  signal: AbortSignal,
): Promise<void> {
  const path = ledger.files(image).export;
  while (mountAt(await mounts.list(), path)) await mounts.unmount(path, { lazy: true }, signal);
}

/** Writes the ledger, the key and the conf, and starts the daemon. */
export async function startDaemon(
  deps: QsdStepDeps,
  request: AttachRequest,
  kept: Pick<LedgerEntry, 'dead' | 'filesystem'>,
  signal: AbortSignal,
): Promise<LedgerEntry> {
  const { daemon, ledger } = deps;
  const image = imageOf(request);
  const files = ledger.files(image);
  await mkdir(files.dir, { recursive: true, mode: 0o700 });
  const { monHost, user, readOnly, exclusive } = request;
  const entry: LedgerEntry = {
    ...kept,
    image,
    readOnly,
    ...(exclusive === undefined ? {} : { exclusive }),
    bootId: await deps.bootId(),
    connection: { monHost, user },
  };
  await ledger.write(entry);
  // Read by this start's daemon only: unlike the ledger they need not outlive a power cut.
  const key = `[${cephxEntity(request.user)}]\n\tkey = ${request.key}\n`;
  await Promise.all([
    writeFile(files.keyring, key, { mode: 0o600 }),
    writeFile(files.conf, qsdConf(request, files), { mode: 0o600 }),
    writeFile(files.export, '', { mode: 0o600 }),
  ]);
  const process = await daemon.start(request, files, signal);
  // Not waited for: the kernel takes its time over a move, and the device is as good meanwhile. Should this container
  // end before, the daemon ends with it, and is healed like any other.
  void letOutlive(deps, image, process);
  const started = { ...entry, daemon: process, backing: await backingOf(files.export) };
  await ledger.write(started);
  return started;
}

/** A daemon that cannot be moved serves all the same, for as long as this container lives. */
export async function letOutlive(
  { cgroup, log }: QsdStepDeps,
  { image }: ImageSpec,
  { pid }: ProcessIdentity,
): Promise<void> {
  await cgroup?.take(pid).catch((error: unknown) => {
    log.warn({ err: error, image, pid }, 'the daemon stays in our cgroup and will end with this container');
  });
}

/** Puts a loop on the daemon's file; `only` this device, where it is given. */
export async function addLoop(
  deps: QsdStepDeps,
  entry: LedgerEntry,
  signal: AbortSignal,
  only?: string,
): Promise<LedgerEntry & { loop: RecordedLoop }> {
  const avoid = only === undefined ? await promisedDevices(deps) : new Set<string>();
  const options = { directIo: true, readOnly: entry.readOnly, device: only, avoid };
  const loop = await deps.loops.attach(deps.ledger.files(entry.image).export, options, signal);
  return await recordLoop(deps, entry, loop);
}

/** Devices of block volumes whose daemon died: their pods know them by number, and get them back. */
async function promisedDevices({ ledger }: QsdStepDeps): Promise<Set<string>> {
  const blocks = (await ledger.list()).filter(({ filesystem }) => !filesystem);
  return new Set(blocks.flatMap(({ dead = [] }) => dead.map(({ device }) => device)));
}

export async function recordLoop(
  { loops, ledger }: QsdStepDeps,
  entry: LedgerEntry,
  { device, major, minor }: LoopDevice,
): Promise<LedgerEntry & { loop: RecordedLoop }> {
  const sequence = await loops.sequence({ major, minor });
  const complete = { ...entry, loop: { device, major, minor, ...(sequence ? { sequence } : {}) } };
  await ledger.write(complete);
  return complete;
}

/** Ends the daemon and forgets the attachment. No loop uses the daemon any more. */
export async function stopDaemon(deps: QsdStepDeps, entry: LedgerEntry, signal: AbortSignal): Promise<void> {
  const process = await livingDaemon(deps, entry);
  if (process) await deps.daemon.stop(deps.ledger.files(entry.image), process, signal);
  await unmountExport(deps, entry, signal);
  await deps.ledger.forget(entry.image);
}

const imageOf = ({ clusterId, pool, namespace, image }: ImageSpec): LedgerEntry['image'] => ({
  clusterId,
  pool,
  ...(namespace ? { namespace } : {}),
  image,
});

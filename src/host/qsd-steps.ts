import { mkdir, writeFile } from 'node:fs/promises';
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

export interface QsdStepDeps {
  readonly loops: Loops;
  readonly mounts: Mounts;
  readonly daemon: QsdDaemon;
  /** Where daemons outlive the container of this process; absent where this process is in none. */
  readonly cgroup?: DaemonCgroup | undefined;
  readonly ledger: QsdLedger;
  readonly clock: Clock;
  readonly log: Logger;
}

const freeLimitMs = 3_000;

// The steps of attaching and detaching an image. Each can be done again after it was cut short.

/** The daemon of an entry, from the ledger or, where that was not yet written, from /proc. */
export async function livingDaemon(
  { daemon, ledger }: QsdStepDeps,
  entry: LedgerEntry,
): Promise<ProcessIdentity | undefined> {
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

/** Where a loop is mounted, as far as this mount namespace shows. */
export async function mountPointOf({ mounts }: QsdStepDeps, loop: LoopDevice): Promise<string | undefined> {
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

/** After a daemon's death: frees what nobody uses, cuts loose the dead FUSE file. */
export async function clearDead(deps: QsdStepDeps, entry: LedgerEntry, signal: AbortSignal): Promise<void> {
  const loop = await loopOf(deps, entry, signal);
  // In use it gets autoclear, and goes away once the dead filesystem on it is unmounted.
  if (loop) await deps.loops.detach(loop, signal);
  await unmountExport(deps, entry, signal);
  deps.log.info({ image: entry.image.image, loop: loop?.device }, 'cleared away after a dead daemon');
}

async function unmountExport(
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
  signal: AbortSignal,
): Promise<LedgerEntry> {
  const { daemon, ledger } = deps;
  const image = imageOf(request);
  const files = ledger.files(image);
  await mkdir(files.dir, { recursive: true, mode: 0o700 });
  const entry: LedgerEntry = { image, readOnly: request.readOnly };
  await ledger.write(entry);
  // Read by this start's daemon only: unlike the ledger they need not outlive a power cut.
  const key = `[${entityOf(request.user)}]\n\tkey = ${request.key}\n`;
  await Promise.all([
    writeFile(files.keyring, key, { mode: 0o600 }),
    writeFile(files.conf, qsdConf(request, files), { mode: 0o600 }),
    writeFile(files.export, '', { mode: 0o600 }),
  ]);
  const process = await daemon.start(request, files, signal);
  await letOutlive(deps, image, process);
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

/** Puts a loop on the daemon's file. */
export async function addLoop(
  { loops, ledger }: QsdStepDeps,
  entry: LedgerEntry,
  signal: AbortSignal,
): Promise<LedgerEntry> {
  const { device, major, minor } = await loops.attach(
    ledger.files(entry.image).export,
    { directIo: true, readOnly: entry.readOnly },
    signal,
  );
  const complete = { ...entry, loop: { device, major, minor } };
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

const entityOf = (user: string) => (user.includes('.') ? user : `client.${user}`);

const imageOf = ({ clusterId, pool, namespace, image }: ImageSpec): LedgerEntry['image'] => ({
  clusterId,
  pool,
  ...(namespace ? { namespace } : {}),
  image,
});

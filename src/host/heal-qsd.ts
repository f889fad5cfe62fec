import { mkdir, readFile } from 'node:fs/promises';
import type { AttachRequest, ImageSpec } from './attacher.ts';
import { mountAt } from './mounts.ts';
import type { LedgerEntry } from './qsd-ledger.ts';
import {
  addLoop,
  isOfThisBoot,
  isThere,
  livingDaemon,
  loopOf,
  mountPointOf,
  recordLoop,
  startDaemon,
  unmountExport,
  type QsdStepDeps,
} from './qsd-steps.ts';
import type { RemountReport } from './remount.ts';

// What happens to an attachment whose daemon died. The ledger's `dead` says what is still to be done, so another
// process goes on where this one was killed.

export interface HealReport extends RemountReport {
  readonly device: string;
}

/** A block device that a process has open: its loop cannot be given another file before that process closes it. */
export class HeldDeviceError extends Error {
  readonly code = 'DEVICE_HELD';
  readonly device: string;

  constructor(device: string, image: string) {
    super(
      `the daemon of ${image} died, and a process holds ${device}: it has to be closed, or the pod deleted`,
    );
    this.name = 'HeldDeviceError';
    this.device = device;
  }
}

export const isHeldDevice = (error: unknown): error is HeldDeviceError => error instanceof HeldDeviceError;

/** Images whose daemon died under somebody, or whose healing was cut short. */
export async function unhealed(deps: QsdStepDeps): Promise<ImageSpec[]> {
  const images: ImageSpec[] = [];
  for (const entry of await deps.ledger.list()) if (await needsHealing(deps, entry)) images.push(entry.image);
  return images;
}

/**
 * Without a loop of its own left nobody here uses the image: the node was restarted, or everything was unmounted
 * meanwhile. To attach it then would be to take it from whoever has it now.
 */
async function needsHealing(deps: QsdStepDeps, entry: LedgerEntry): Promise<boolean> {
  if (entry.bootId !== (await deps.bootId())) return false;
  const dead = entry.dead ?? [];
  if (await livingDaemon(deps, entry)) return dead.length > 0;
  // A block device that was let go for healing: its pod is there, and waits.
  if (dead.length > 0 && !entry.filesystem) return true;
  for (const loop of [...dead, ...(entry.loop ? [entry.loop] : [])])
    if (await isThere(deps, entry, loop)) return true;
  return false;
}

/**
 * Brings an image whose daemon died back to its users: a new daemon and loop, and the filesystem mounted anew in
 * each place of the dead one. What was open stays dead; what is opened from now on works. A block device
 * gets its new daemon under the old number, once nobody has it open.
 */
export async function heal(
  deps: QsdStepDeps,
  image: ImageSpec,
  signal: AbortSignal,
): Promise<HealReport | undefined> {
  const found = await deps.ledger.read(image);
  if (!found || !(await needsHealing(deps, found))) return undefined;
  const alive = await livingDaemon(deps, found);
  const started = alive ? found : await restart(deps, found, await requestOf(deps, found), signal);
  const loop = await loopOf(deps, started, signal);
  const entry = loop
    ? await recordLoop(deps, started, loop) // Of one before us that was killed just then.
    : await addLoop(deps, started, signal, blockDevice(started));
  const { device } = entry.loop;
  const report = entry.filesystem
    ? await remountAll(deps, entry, device, signal)
    : { replaced: [], failed: [] };
  const { dead: _done, ...healed } = entry;
  await deps.ledger.write(healed);
  return { device, ...report };
}

/** A new daemon for an image whose last one is dead, behind a fence that keeps the dead one's writes out. */
export async function restart(
  deps: QsdStepDeps,
  entry: LedgerEntry,
  request: AttachRequest,
  signal: AbortSignal,
): Promise<LedgerEntry> {
  const { filesystem, loop } = entry;
  const known = (await isOfThisBoot(deps, entry)) ? (entry.dead ?? []) : [];
  const isNew = loop && !known.some(({ sequence }) => sequence === loop.sequence);
  const dead = isNew && (await isThere(deps, entry, loop)) ? [...known, loop] : known;
  // Before anything of the old one goes: from here on its users can be found by this alone.
  await deps.ledger.write({ ...entry, dead });
  await clearDead(deps, { ...entry, dead }, signal);
  await deps.fence?.(request, signal);
  return await startDaemon(deps, request, { dead, ...(filesystem ? { filesystem } : {}) }, signal);
}

/** Frees what nobody uses, cuts loose the dead FUSE file. Throws HeldDeviceError for a block device in use. */
async function clearDead(deps: QsdStepDeps, entry: LedgerEntry, signal: AbortSignal): Promise<void> {
  for (const loop of entry.dead ?? []) {
    if (!(await isThere(deps, entry, loop))) continue;
    // In use it gets autoclear, and goes away once the dead filesystem on it is unmounted.
    await deps.loops.detach(loop, signal);
    if (!entry.filesystem && (await isThere(deps, entry, loop)))
      throw new HeldDeviceError(loop.device, entry.image.image);
  }
  await unmountExport(deps, entry, signal);
  deps.log.info({ image: entry.image.image }, 'cleared away after a dead daemon');
}

/** What a block volume's pods know of it: the device's number. */
const blockDevice = ({ filesystem, dead }: LedgerEntry): string | undefined =>
  filesystem ? undefined : dead?.at(-1)?.device;

async function remountAll(
  deps: QsdStepDeps,
  entry: LedgerEntry,
  device: string,
  signal: AbortSignal,
): Promise<RemountReport> {
  const { mounts, remounter, ledger, loops } = deps;
  if (!remounter) throw new Error('nothing here can replace mounts');
  const { fsType, options } = entry.filesystem!;
  const { mount: source } = ledger.files(entry.image);
  const report: { replaced: RemountReport['replaced']; failed: RemountReport['failed'] } = {
    replaced: [],
    failed: [],
  };
  await mkdir(source, { recursive: true, mode: 0o700 });
  await unmountAll(deps, source, signal); // What one before us that was killed left.
  await mounts.mount({ source: device, target: source, fsType, options }, signal);
  try {
    for (const loop of entry.dead ?? []) {
      // Its number may have gone to another image by now, whose mounts are none of ours.
      if (!(await isThere(deps, entry, loop))) continue;
      const { replaced, failed } = await remounter({ device: loop, source }, signal);
      report.replaced.push(...replaced);
      report.failed.push(...failed);
    }
  } finally {
    await unmountAll(deps, source, signal);
  }
  const loop = await loopOf(deps, entry, signal);
  if (loop && (await mountPointOf(deps, loop)) !== undefined) await loops.detach(loop, signal);
  return report;
}

async function unmountAll({ mounts }: QsdStepDeps, path: string, signal: AbortSignal): Promise<void> {
  while (mountAt(await mounts.list(), path)) await mounts.unmount(path, { lazy: true }, signal);
}

/** How the dead daemon reached its cluster. */
async function requestOf({ ledger }: QsdStepDeps, entry: LedgerEntry): Promise<AttachRequest> {
  const { image, readOnly, exclusive, connection } = entry;
  const keyring = await readFile(ledger.files(image).keyring, 'utf8').catch(() => '');
  const key = /^\s*key\s*=\s*(\S+)\s*$/m.exec(keyring)?.[1];
  if (!connection || !key)
    throw new Error(
      `${image.image} was attached by an older build: delete its pods to have it attached anew`,
    );
  return { ...image, ...connection, key, readOnly, exclusive };
}

import { mkdir, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '../../lib/clock.ts';
import type { Logger } from '../../lib/log.ts';
import { readBluestoreLabel, type BluestoreLabel } from '../../host/bluestore-label.ts';
import { blockDevices } from './block-devices.ts';

export interface ActivateOptions {
  readonly osdUuid: string;
  readonly osdId: number;
  /** Of the cluster: an OSD of another one is never started. */
  readonly fsid: string;
  /** /var/lib/ceph/osd/ceph-0 */
  readonly dataDir: string;
}

export interface ActivateDeps {
  readonly log: Logger;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /** Paths of the node’s block devices; from /sys/block where not given. */
  readonly devices?: () => Promise<readonly string[]>;
}

/** The device is not on this node, or is not what it should be. */
export class ActivationError extends Error {
  readonly code = 'OSD_ACTIVATION';

  constructor(message: string) {
    super(message);
    this.name = 'ActivationError';
  }
}

const patienceMs = 60_000;
const retryMs = 1_000;

/**
 * Makes the OSD’s data folder from the label of its device, which is found by the OSD’s fsid: device
 * names change over reboots. Waits a minute for a device that is late, such as after a power cut.
 */
export async function runOsdActivate(options: ActivateOptions, deps: ActivateDeps): Promise<void> {
  const { log, clock, signal } = deps;
  const giveUpMs = clock.now() + patienceMs;
  let found = await findDevice(options, deps);
  while (!found) {
    if (clock.now() >= giveUpMs)
      throw new ActivationError(`no device on this node has OSD fsid ${options.osdUuid}`);
    await clock.sleep(retryMs, signal);
    found = await findDevice(options, deps);
  }
  const { device, label } = found;
  const owner = label.meta.get('ceph_fsid');
  if (owner !== options.fsid)
    throw new ActivationError(`${device} belongs to cluster ${owner ?? 'unknown'}, not to ${options.fsid}`);
  if (label.meta.get('whoami') !== String(options.osdId))
    throw new ActivationError(
      `${device} is osd.${label.meta.get('whoami') ?? '?'}, not osd.${options.osdId}`,
    );
  await writeDataDir(options, device, label);
  log.info({ device, osd: options.osdId }, 'activated');
}

async function findDevice(
  options: ActivateOptions,
  deps: ActivateDeps,
): Promise<{ device: string; label: BluestoreLabel } | undefined> {
  for (const device of await (deps.devices ?? blockDevices)()) {
    const label = await readBluestoreLabel(device).catch((error: unknown) => {
      // Another device that cannot be read must not keep this OSD down.
      deps.log.debug({ err: error, device }, 'device not readable');
      return undefined;
    });
    if (label?.osdUuid === options.osdUuid && label.description === 'main') return { device, label };
  }
  return undefined;
}

/** The files that ceph-osd reads before it opens the device. */
async function writeDataDir(options: ActivateOptions, device: string, label: BluestoreLabel): Promise<void> {
  const key = label.meta.get('osd_key')?.trim();
  if (!key) throw new ActivationError(`the label of ${device} holds no key; was it made by ceph-volume lvm?`);
  const { dataDir } = options;
  await mkdir(dataDir, { recursive: true, mode: 0o750 });
  const link = join(dataDir, 'block');
  await rm(link, { force: true });
  await symlink(device, link);
  const files: readonly [name: string, content: string][] = [
    ['keyring', `[osd.${options.osdId}]\n\tkey = ${key}\n`],
    ['type', 'bluestore\n'],
    ['ceph_fsid', `${options.fsid}\n`],
    ['fsid', `${options.osdUuid}\n`],
    ['whoami', `${options.osdId}\n`],
    ['ready', 'ready\n'],
  ];
  // The folder is this pod's own and made anew for each, so nothing in it has to outlast a power cut.
  await Promise.all(files.map(([name, content]) => writeFile(join(dataDir, name), content, { mode: 0o600 })));
}

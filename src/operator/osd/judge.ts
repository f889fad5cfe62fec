import { formatBytes } from '../../lib/quantity.ts';
import type { BluestoreLabel } from '../../host/bluestore-label.ts';
import type { DiskReport, PrepareConfig } from './report.ts';
import { deviceClassOf, stablePath, type ScannedDisk } from './scanned-disk.ts';
import { selectDisk } from './select.ts';

/** Below this BlueStore has no room for its own database and log. */
export const minimumDiskBytes = 5 * 1024 ** 3;

/** What is to be done with a disk; only `make` ever writes to it. */
export type Judgement =
  | { readonly action: 'leave'; readonly report: DiskReport }
  | {
      readonly action: 'make';
      readonly report: DiskReport;
      readonly disk: ScannedDisk;
      readonly uuid: string;
    };

/**
 * Judges one disk. A label of our own cluster is an OSD that is there already; one whose making was cut
 * short is finished, but only where its fsid is one that this very run handed out.
 */
export function judgeDisk(
  disk: ScannedDisk,
  label: BluestoreLabel | undefined,
  config: PrepareConfig,
  nextUuid: () => string | undefined,
): Judgement {
  const base = { device: stablePath(disk), sizeBytes: disk.sizeBytes };
  const leave = (
    verdict: DiskReport['verdict'],
    reason: string,
    message?: string,
    more: Partial<DiskReport> = {},
  ): Judgement => ({
    action: 'leave',
    report: { ...base, verdict, reason, ...(message !== undefined && { message }), ...more },
  });
  const selection = selectDisk(disk, config.selection);
  const deviceClass =
    (selection.taken ? selection.deviceClass : config.selection.deviceClass) ?? deviceClassOf(disk);
  const make = (uuid: string): Judgement => ({
    action: 'make',
    disk,
    uuid,
    report: {
      ...base,
      verdict: 'Preparing',
      reason: 'AwaitingId',
      osdUuid: uuid,
      deviceClass,
      message: 'waits for an OSD number',
    },
  });

  if (label) return judgeLabel(label, config, { leave, make, deviceClass });
  if (disk.refusal) {
    const { reason, message, owner } = disk.refusal;
    return leave('Skipped', reason, message, owner === undefined ? {} : { owner });
  }
  if (!selection.taken)
    return leave('Available', 'NotSelected', 'is empty, but spec.storage does not select it');
  if (disk.sizeBytes < minimumDiskBytes)
    return leave(
      'Skipped',
      'TooSmall',
      `has ${formatBytes(BigInt(disk.sizeBytes))}; an OSD needs at least ${formatBytes(BigInt(minimumDiskBytes))}`,
    );
  const uuid = nextUuid();
  if (uuid === undefined)
    return leave(
      'Available',
      'AwaitingId',
      'this run has no identity left for it; delete the prepare job to go on',
    );
  return make(uuid);
}

interface Verdicts {
  readonly leave: (
    verdict: DiskReport['verdict'],
    reason: string,
    message?: string,
    more?: Partial<DiskReport>,
  ) => Judgement;
  readonly make: (uuid: string) => Judgement;
  readonly deviceClass: string;
}

/** A disk that holds an OSD: ours, one of ours that was never finished, or somebody else’s. */
function judgeLabel(label: BluestoreLabel, config: PrepareConfig, verdicts: Verdicts): Judgement {
  const { leave, make, deviceClass } = verdicts;

  const owner = label.meta.get('ceph_fsid');
  const id = Number(label.meta.get('whoami'));
  if (
    owner === config.fsid &&
    label.meta.has('ready') &&
    label.description === 'main' &&
    Number.isInteger(id)
  )
    return leave('InUse', 'OsdPrepared', undefined, { osdUuid: label.osdUuid, osdId: id, deviceClass });
  // Making it was cut short; the identity is ours, so nothing else can be on it.
  if (config.slots.some((slot) => slot.uuid === label.osdUuid)) return make(label.osdUuid);
  if (owner === config.fsid)
    return leave(
      'Skipped',
      'HasFilesystem',
      'holds an unfinished OSD of this cluster; wipe it to use it anew',
      { owner },
    );
  return leave(
    'Skipped',
    'OtherCluster',
    `holds an OSD of the Ceph cluster ${owner ?? 'without a known FSID'}; nothing is touched. To use it, wipe it by naming that FSID`,
    owner === undefined ? {} : { owner },
  );
}

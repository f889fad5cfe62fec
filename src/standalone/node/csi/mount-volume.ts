import { lstat, mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { PersistentVolume, Pod } from 'kubernetes-types/core/v1.js';
import type { CSIDriver } from 'kubernetes-types/storage/v1.js';
import type { MessageInitShape } from '@bufbuild/protobuf';
import type { VolumeCapabilitySchema } from '../../../gen/csi/v1/csi_pb.js';
import type { Stored } from '../../../api/resource.ts';
import type { PodReferences } from '../references.ts';
import { isMountPoint } from '../volumes/mount-table.ts';
import { applyFsGroup } from '../volumes/ownership.ts';
import { driverSecret } from './claim-volume.ts';
import { Capability, driverCallMs, type DriverClient } from './driver-client.ts';
import { attachmentName } from './paths.ts';
import type { VolumePlaces } from './places.ts';
import { writeVolumeData, type VolumeData } from './volume-data.ts';
import { podInfo, volumeCapability, wantsFsGroup } from './volume-spec.ts';

export interface MountWish {
  readonly pod: Pod;
  readonly volume: Stored<PersistentVolume>;
  readonly kind: CSIDriver | undefined;
  readonly driver: DriverClient;
  /** What the attach gave. */
  readonly publishContext: Readonly<Record<string, string>>;
  readonly readOnly: boolean;
  readonly places: VolumePlaces;
  readonly nodeName: string;
  readonly references: PodReferences;
}

const sourceOf = ({ volume }: MountWish) => {
  const source = volume.spec?.csi;
  if (!source) throw new Error(`persistentvolume "${volume.metadata.name}" is not a CSI volume`);
  return source;
};

const recordOf = (wish: MountWish): VolumeData => ({
  driverName: sourceOf(wish).driver,
  volumeHandle: sourceOf(wish).volumeHandle,
  ...(wish.volume.spec?.volumeMode === 'Block' ? { volumeMode: 'Block' } : {}),
});

export interface StageWish extends MountWish {
  readonly stageSecrets: Promise<Record<string, string>>;
}

/** Brings the volume to the node, where the driver has such a step and no other pod here has done it. */
export async function stageVolume(wish: StageWish, signal: AbortSignal): Promise<void> {
  const { driver, places, publishContext, stageSecrets } = wish;
  const source = sourceOf(wish);
  if (!(await driver.has(Capability.STAGE_UNSTAGE_VOLUME, signal))) return;
  // A driver that mounts nothing here is asked again, which CSI allows.
  if ((await isMountPoint(places.stage)) && (await answers(places.stage))) return;
  // Written first: whatever happens from here on, the disk says that there is something to undo.
  await writeVolumeData(places.stageRecord, recordOf(wish));
  await mkdir(places.stage, { recursive: true, mode: 0o750 }).catch(ignoreBroken);
  await driver.calls.nodeStageVolume(
    {
      volumeId: source.volumeHandle,
      publishContext: { ...publishContext },
      stagingTargetPath: places.stage,
      volumeCapability: (await capabilityOf(wish, signal)).wire,
      secrets: await stageSecrets,
      volumeContext: source.volumeAttributes ?? {},
    },
    { signal, timeoutMs: driverCallMs },
  );
}

/** Brings the staged volume to the pod, and gives it to the pod's group. */
export async function publishVolume(wish: MountWish, signal: AbortSignal): Promise<void> {
  const { places, pod, volume, kind } = wish;
  const source = sourceOf(wish);
  const adopted = (await isMountPoint(places.target)) && (await answers(places.target));
  const { wire, delegates } = await capabilityOf(wish, signal);
  if (!adopted) {
    await writeVolumeData(places.targetRecord, {
      ...recordOf(wish),
      specVolID: volume.metadata.name,
      nodeName: wish.nodeName,
      attachmentID: attachmentName(source.volumeHandle, source.driver, wish.nodeName),
      volumeLifecycleMode: 'Persistent',
    });
    await callPublish(wish, wire, signal);
  }
  const fsGroup = pod.spec?.securityContext?.fsGroup;
  const isDevice = volume.spec?.volumeMode === 'Block';
  if (isDevice || wish.readOnly || fsGroup === undefined || delegates || !wantsFsGroup(kind, volume)) return;
  // A walk that a crash cut short has not reached the top yet, so a top that is right proves the rest.
  const onRootMismatch = adopted || pod.spec?.securityContext?.fsGroupChangePolicy === 'OnRootMismatch';
  await applyFsGroup(places.target, { gid: fsGroup, readOnly: false, onRootMismatch }, signal);
}

async function callPublish(
  wish: MountWish,
  wire: MessageInitShape<typeof VolumeCapabilitySchema>,
  signal: AbortSignal,
): Promise<void> {
  const { driver, places, pod, kind, publishContext } = wish;
  const source = sourceOf(wish);
  // The driver makes the target, and we its parent.
  await mkdir(dirname(places.target), { recursive: true, mode: 0o750 });
  const staged = await driver.has(Capability.STAGE_UNSTAGE_VOLUME, signal);
  await driver.calls.nodePublishVolume(
    {
      volumeId: source.volumeHandle,
      publishContext: { ...publishContext },
      stagingTargetPath: staged ? places.stage : '',
      targetPath: places.target,
      volumeCapability: wire,
      readonly: wish.readOnly,
      secrets: await driverSecret(wish.references, source.nodePublishSecretRef, signal),
      volumeContext: { ...source.volumeAttributes, ...(kind?.spec.podInfoOnMount ? podInfo(pod) : {}) },
    },
    { signal, timeoutMs: driverCallMs },
  );
}

async function capabilityOf({ driver, volume, pod }: MountWish, signal: AbortSignal) {
  const fsGroup = pod.spec?.securityContext?.fsGroup;
  const delegates = fsGroup !== undefined && (await driver.has(Capability.VOLUME_MOUNT_GROUP, signal));
  const singleWriter = await driver.has(Capability.SINGLE_NODE_MULTI_WRITER, signal);
  const wire = volumeCapability({ volume, singleWriter, mountGroup: delegates ? fsGroup : undefined });
  return { delegates, wire };
}

/** False for a mount whose daemon is dead: its folder gives ENOTCONN or EIO. */
const answers = (path: string): Promise<boolean> =>
  lstat(path).then(
    () => true,
    () => false,
  );

/** mkdir over a dead FUSE mount fails; the driver is the one that can mend it. */
function ignoreBroken(error: unknown): undefined {
  const { code = '' } = error as NodeJS.ErrnoException;
  if (['ENOTCONN', 'EIO', 'EEXIST'].includes(code)) return undefined;
  throw error;
}

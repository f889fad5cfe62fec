import { lstat, mkdir, rm, rmdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { PersistentVolume, PersistentVolumeClaim, Pod } from 'kubernetes-types/core/v1.js';
import type { CSIDriver } from 'kubernetes-types/storage/v1.js';
import { CSIDrivers, PersistentVolumeClaims, PersistentVolumes } from '../../../api/core.ts';
import type { Stored } from '../../../api/resource.ts';
import type { KubeClient } from '../../../kube/client.ts';
import type { Clock } from '../../../lib/clock.ts';
import { keyedLock } from '../../../lib/keyed-lock.ts';
import type { Logger } from '../../../lib/log.ts';
import { parseBytes } from '../../../lib/quantity.ts';
import type { PodReferences } from '../references.ts';
import { isMountPoint, unmountPath } from '../volumes/mount-table.ts';
import { applyFsGroup } from '../volumes/ownership.ts';
import { ignoreMissing } from '../volumes/safe-remove.ts';
import { waitForAttachment } from './attachment.ts';
import { Capability, type DriverClient } from './driver-client.ts';
import {
  attachmentName,
  blockPublishPath,
  blockStagePath,
  csiPluginFolder,
  dataFileOfStage,
  podCsiFolder,
  podDeviceFolder,
  stagePath,
  uniqueVolumeName,
} from './paths.ts';
import type { PluginRegistry } from './plugin-registry.ts';
import {
  publishedEverywhere,
  publishedFor,
  readVolumeData,
  removeVolumeData,
  stagedEverywhere,
  volumeDataFile,
  writeVolumeData,
  type PublishedVolume,
  type VolumeData,
} from './volume-data.ts';
import { podInfo, volumeCapability, wantsFsGroup } from './volume-spec.ts';
import type { VolumesInUse } from './volumes-in-use.ts';

export interface CsiVolumesDeps {
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly log: Logger;
  readonly kubeletRoot: string;
  readonly nodeName: string;
  readonly registry: PluginRegistry;
  readonly references: PodReferences;
  readonly inUse: VolumesInUse;
}

/** Where a claim's volume is for one pod: a folder, or a device. */
export interface MountedClaim {
  readonly hostPath: string;
  readonly isDevice: boolean;
  readonly readOnly: boolean;
}

/** Brings claims' volumes to pods and back. Nothing but the disk is remembered about what is mounted. */
export interface CsiVolumes {
  setup(pod: Pod, claimName: string, readOnly: boolean, signal: AbortSignal): Promise<MountedClaim>;
  /** Undoes everything that the disk says of a pod. Safe to repeat. */
  teardown(podUid: string, signal: AbortSignal): Promise<void>;
  /** Finishes a growth that waits for the node, where there is one. */
  expand(pod: Pod, claimName: string, signal: AbortSignal): Promise<void>;
  /** Unstages what no pod uses, after a crash between unpublish and unstage. */
  unstageUnused(signal: AbortSignal): Promise<void>;
  /** What of attached volumes the disk shows, for volumesInUse after a restart. */
  onDisk(): Promise<readonly string[]>;
}

const driverCallMs = 120_000;
const registeredWaitMs = 10_000;
const claimResizing = 'FileSystemResizePending';

export function csiVolumes(deps: CsiVolumesDeps): CsiVolumes {
  const locks = keyedLock(() => deps.clock.now());
  const lockOf = (driver: string, handle: string) => `${driver}^${handle}`;
  // Pods by the volume that they want or have: before a mount the disk does not know of it yet.
  const wanted = new Map<string, Set<string>>();
  const release = (uniqueName: string) => {
    if ((wanted.get(uniqueName)?.size ?? 0) > 0) return;
    wanted.delete(uniqueName);
    deps.inUse.remove(uniqueName);
  };

  const unstageIfUnused = async (data: VolumeData, stage: string, dataFile: string, signal: AbortSignal) => {
    const { driverName, volumeHandle } = data;
    const users = (await publishedEverywhere(deps.kubeletRoot)).filter(
      (one) => one.data.driverName === driverName && one.data.volumeHandle === volumeHandle,
    );
    if (users.length > 0) return;
    if (await readVolumeData(dataFile)) {
      const driver = await requireDriver(deps, driverName, signal);
      if (await driver.has(Capability.STAGE_UNSTAGE_VOLUME, signal))
        await driver.calls.nodeUnstageVolume(
          { volumeId: volumeHandle, stagingTargetPath: stage },
          { signal, timeoutMs: driverCallMs },
        );
      if (await isMountPoint(stage)) await unmountPath(stage, signal);
      await rmdir(stage).catch(ignoreMissing);
      await removeVolumeData(dataFile);
      await rmdir(dirname(dataFile)).catch(ignoreMissing);
    }
    release(uniqueVolumeName(driverName, volumeHandle));
  };

  const onDisk = async () => {
    const staged = await stagedEverywhere(deps.kubeletRoot);
    const published = await publishedEverywhere(deps.kubeletRoot);
    const names = [...staged, ...published].map(({ data }) =>
      uniqueVolumeName(data.driverName, data.volumeHandle),
    );
    return [...new Set(names)];
  };

  return {
    async setup(pod, claimName, readOnly, signal) {
      const claim = await boundClaim(deps.client, pod, claimName, signal);
      const volume = await volumeOf(deps.client, claim, signal);
      const source = volume.spec?.csi;
      if (!source)
        throw new Error(
          `persistentvolume "${volume.metadata.name}" is not a CSI volume; this node mounts no other kind`,
        );
      const uniqueName = uniqueVolumeName(source.driver, source.volumeHandle);
      const users = wanted.get(uniqueName) ?? new Set();
      wanted.set(uniqueName, users.add(pod.metadata?.uid ?? ''));
      await deps.inUse.add(uniqueName, signal);
      const kind = await deps.client.get(CSIDrivers, { name: source.driver }, { signal });
      const publishContext =
        kind?.spec.attachRequired === false
          ? {}
          : await waitForAttachment(
              deps.client,
              { driver: source.driver, handle: source.volumeHandle, nodeName: deps.nodeName },
              deps.clock,
              signal,
            );
      const driver = await requireDriver(deps, source.driver, signal);
      using _held = await locks.acquire(lockOf(source.driver, source.volumeHandle), signal);
      const step = mountStep(deps, { pod, volume, kind, driver, publishContext, readOnly });
      await step.stage(signal);
      return await step.publish(signal);
    },

    async teardown(podUid, signal) {
      const before = [...wanted].filter(([, users]) => users.delete(podUid)).map(([name]) => name);
      for (const published of await publishedFor(deps.kubeletRoot, podUid)) {
        const { driverName, volumeHandle } = published.data;
        using _held = await locks.acquire(lockOf(driverName, volumeHandle), signal);
        await unpublish(deps, published, signal);
        const { stage, dataFile } = stageOf(deps.kubeletRoot, published);
        await unstageIfUnused(published.data, stage, dataFile, signal);
      }
      // A pod that went before its volume was ever mounted leaves nothing on disk, but its claim to it.
      const left = new Set(await onDisk());
      for (const name of before) if (!left.has(name)) release(name);
    },

    async expand(pod, claimName, signal) {
      const namespace = pod.metadata?.namespace;
      const claim = await deps.client.get(PersistentVolumeClaims, { namespace, name: claimName }, { signal });
      if (!claim?.status?.conditions?.some((one) => one.type === claimResizing && one.status === 'True'))
        return;
      const volume = await volumeOf(deps.client, claim, signal);
      await expandOnNode(deps, pod, claim, volume, signal);
    },

    async unstageUnused(signal) {
      for (const { stage, dataFile, data } of await stagedEverywhere(deps.kubeletRoot)) {
        using _held = await locks.acquire(lockOf(data.driverName, data.volumeHandle), signal);
        await unstageIfUnused(data, stage, dataFile, signal);
      }
    },

    onDisk,
  };
}

async function boundClaim(client: KubeClient, pod: Pod, name: string, signal: AbortSignal) {
  const namespace = pod.metadata?.namespace;
  const claim = await client.get(PersistentVolumeClaims, { namespace, name }, { signal });
  if (!claim) throw new Error(`persistentvolumeclaim "${name}" not found`);
  if (claim.metadata.deletionTimestamp && claim.status?.phase !== 'Bound')
    throw new Error(`persistentvolumeclaim "${name}" is being deleted`);
  if (claim.status?.phase !== 'Bound' || !claim.spec?.volumeName)
    throw new Error(
      `PVC ${namespace}/${name} has non-bound phase ("${claim.status?.phase ?? ''}") or empty pvc.Spec.VolumeName`,
    );
  return claim;
}

async function volumeOf(client: KubeClient, claim: Stored<PersistentVolumeClaim>, signal: AbortSignal) {
  const name = claim.spec?.volumeName ?? '';
  const volume = await client.get(PersistentVolumes, { name }, { signal });
  if (!volume) throw new Error(`persistentvolume "${name}" not found`);
  if (volume.spec?.claimRef?.uid !== claim.metadata.uid)
    throw new Error(
      `persistentvolume "${name}" is bound to another claim than ${claim.metadata.namespace}/${claim.metadata.name}`,
    );
  return volume;
}

/** The driver, waited for a moment: its pod may start beside the one that needs it. */
async function requireDriver(deps: CsiVolumesDeps, name: string, signal: AbortSignal): Promise<DriverClient> {
  const untilMs = deps.clock.now() + registeredWaitMs;
  for (;;) {
    const driver = deps.registry.driver(name);
    if (driver) return driver;
    if (deps.clock.now() >= untilMs)
      throw new Error(`driver name ${name} not found in the list of registered CSI drivers`);
    await deps.clock.sleep(250, signal);
  }
}

interface MountInputs {
  readonly pod: Pod;
  readonly volume: Stored<PersistentVolume>;
  readonly kind: CSIDriver | undefined;
  readonly driver: DriverClient;
  readonly publishContext: Readonly<Record<string, string>>;
  readonly readOnly: boolean;
}

function mountStep(deps: CsiVolumesDeps, inputs: MountInputs) {
  const { pod, volume, kind, driver, publishContext } = inputs;
  const source = volume.spec?.csi;
  if (!source) throw new Error('not a CSI volume');
  const uid = pod.metadata?.uid ?? '';
  const pvName = volume.metadata.name;
  const isDevice = volume.spec?.volumeMode === 'Block';
  const readOnly = inputs.readOnly || source.readOnly === true;
  const fsGroup = pod.spec?.securityContext?.fsGroup;
  const data: VolumeData = {
    driverName: source.driver,
    volumeHandle: source.volumeHandle,
    ...(isDevice ? { volumeMode: 'Block' } : {}),
  };
  const { kubeletRoot } = deps;
  const stage = isDevice
    ? blockStagePath(kubeletRoot, pvName)
    : stagePath(kubeletRoot, source.driver, source.volumeHandle);
  const stageDataFile = stageDataPath(kubeletRoot, stage, pvName, isDevice);
  const folder = join(isDevice ? podDeviceFolder(kubeletRoot, uid) : podCsiFolder(kubeletRoot, uid), pvName);
  const target = isDevice ? blockPublishPath(kubeletRoot, pvName, uid) : join(folder, 'mount');
  const options = (signal: AbortSignal) => ({ signal, timeoutMs: driverCallMs });

  const capability = async (signal: AbortSignal) => {
    const delegates = fsGroup !== undefined && (await driver.has(Capability.VOLUME_MOUNT_GROUP, signal));
    const singleWriter = await driver.has(Capability.SINGLE_NODE_MULTI_WRITER, signal);
    return {
      delegates,
      wire: volumeCapability({ volume, singleWriter, mountGroup: delegates ? fsGroup : undefined }),
    };
  };
  const secretsOf = async (ref: { name?: string; namespace?: string } | undefined, signal: AbortSignal) => {
    if (!ref?.name || !ref.namespace) return {};
    const found = await deps.references.data('secret', ref.namespace, ref.name, signal);
    if (!found) throw new Error(`secret "${ref.namespace}/${ref.name}" not found`);
    return Object.fromEntries([...found].map(([key, value]) => [key, value.toString()]));
  };

  return {
    async stage(signal: AbortSignal) {
      if (!(await driver.has(Capability.STAGE_UNSTAGE_VOLUME, signal))) return;
      // Another pod of this node may use it already; a driver that mounts nothing is asked again, which is safe.
      if (!isDevice && (await isMountPoint(stage)) && (await answers(stage))) return;
      await writeVolumeData(stageDataFile, data);
      await mkdir(stage, { recursive: true, mode: 0o750 }).catch(ignoreBroken);
      const { wire } = await capability(signal);
      await driver.calls.nodeStageVolume(
        {
          volumeId: source.volumeHandle,
          publishContext: { ...publishContext },
          stagingTargetPath: stage,
          volumeCapability: wire,
          secrets: await secretsOf(source.nodeStageSecretRef, signal),
          volumeContext: source.volumeAttributes ?? {},
        },
        options(signal),
      );
    },

    async publish(signal: AbortSignal): Promise<MountedClaim> {
      const mounted = { hostPath: target, isDevice, readOnly };
      if (await isMountPoint(target)) if (await answers(target)) return mounted;
      await writeVolumeData(volumeDataFile(folder), {
        ...data,
        specVolID: pvName,
        nodeName: deps.nodeName,
        attachmentID: attachmentName(source.volumeHandle, source.driver, deps.nodeName),
        volumeLifecycleMode: 'Persistent',
      });
      await mkdir(dirname(target), { recursive: true, mode: 0o750 });
      const { wire, delegates } = await capability(signal);
      const staged = await driver.has(Capability.STAGE_UNSTAGE_VOLUME, signal);
      await driver.calls.nodePublishVolume(
        {
          volumeId: source.volumeHandle,
          publishContext: { ...publishContext },
          stagingTargetPath: staged ? stage : '',
          targetPath: target,
          volumeCapability: wire,
          readonly: readOnly,
          secrets: await secretsOf(source.nodePublishSecretRef, signal),
          volumeContext: { ...source.volumeAttributes, ...(kind?.spec.podInfoOnMount ? podInfo(pod) : {}) },
        },
        options(signal),
      );
      if (!isDevice && !readOnly && fsGroup !== undefined && !delegates && wantsFsGroup(kind, volume)) {
        const onRootMismatch = pod.spec?.securityContext?.fsGroupChangePolicy === 'OnRootMismatch';
        await applyFsGroup(target, { gid: fsGroup, readOnly: false, onRootMismatch }, signal);
      }
      return mounted;
    },
  };
}

/** False for a mount whose daemon is dead: its folder gives ENOTCONN or EIO. */
async function answers(path: string): Promise<boolean> {
  return await lstat(path).then(
    () => true,
    () => false,
  );
}

/** mkdir over a dead FUSE mount fails; the driver is the one that can mend it. */
function ignoreBroken(error: unknown): undefined {
  const { code } = error as NodeJS.ErrnoException;
  if (code === 'ENOTCONN' || code === 'EIO' || code === 'EEXIST') return undefined;
  throw error;
}

function stageDataPath(kubeletRoot: string, stage: string, pvName: string, isDevice: boolean): string {
  if (!isDevice) return dataFileOfStage(stage);
  return volumeDataFile(join(csiPluginFolder(kubeletRoot), 'volumeDevices/data', pvName));
}

function stageOf(kubeletRoot: string, { data, pvName }: PublishedVolume) {
  const isDevice = data.volumeMode === 'Block';
  const stage = isDevice
    ? blockStagePath(kubeletRoot, pvName)
    : stagePath(kubeletRoot, data.driverName, data.volumeHandle);
  return { stage, dataFile: stageDataPath(kubeletRoot, stage, pvName, isDevice) };
}

async function unpublish(
  deps: CsiVolumesDeps,
  published: PublishedVolume,
  signal: AbortSignal,
): Promise<void> {
  const { data, folder, pvName, podUid } = published;
  const isDevice = data.volumeMode === 'Block';
  const target = isDevice ? blockPublishPath(deps.kubeletRoot, pvName, podUid) : join(folder, 'mount');
  const driver = await requireDriver(deps, data.driverName, signal);
  await driver.calls.nodeUnpublishVolume(
    { volumeId: data.volumeHandle, targetPath: target },
    { signal, timeoutMs: driverCallMs },
  );
  // The driver removes its target; what is left of one must be neither mounted nor deleted through.
  if (await isMountPoint(target)) await unmountPath(target, signal);
  const left = await lstat(target).catch(ignoreMissing);
  if (left?.isDirectory()) await rmdir(target);
  else if (left) await rm(target);
  await removeVolumeData(volumeDataFile(folder));
  await rmdir(folder).catch(ignoreMissing);
}

async function expandOnNode(
  deps: CsiVolumesDeps,
  pod: Pod,
  claim: Stored<PersistentVolumeClaim>,
  volume: Stored<PersistentVolume>,
  signal: AbortSignal,
): Promise<void> {
  const source = volume.spec?.csi;
  const capacity = volume.spec?.capacity?.['storage'];
  if (!source || capacity === undefined) return;
  const driver = await requireDriver(deps, source.driver, signal);
  if (!(await driver.has(Capability.EXPAND_VOLUME, signal))) return;
  const uid = pod.metadata?.uid ?? '';
  const pvName = volume.metadata.name;
  const isDevice = volume.spec?.volumeMode === 'Block';
  const ref = source.nodeExpandSecretRef;
  const found =
    ref?.name && ref.namespace
      ? await deps.references.data('secret', ref.namespace, ref.name, signal)
      : undefined;
  await driver.calls.nodeExpandVolume(
    {
      volumeId: source.volumeHandle,
      volumePath: isDevice
        ? blockPublishPath(deps.kubeletRoot, pvName, uid)
        : join(podCsiFolder(deps.kubeletRoot, uid), pvName, 'mount'),
      stagingTargetPath: isDevice
        ? blockStagePath(deps.kubeletRoot, pvName)
        : stagePath(deps.kubeletRoot, source.driver, source.volumeHandle),
      capacityRange: { requiredBytes: parseBytes(capacity) ?? 0n },
      volumeCapability: volumeCapability({
        volume,
        singleWriter: await driver.has(Capability.SINGLE_NODE_MULTI_WRITER, signal),
      }),
      secrets: Object.fromEntries([...(found ?? [])].map(([key, value]) => [key, value.toString()])),
    },
    { signal, timeoutMs: driverCallMs },
  );
  const kept = (claim.status?.conditions ?? []).filter(
    (one) => one.type !== claimResizing && one.type !== 'Resizing',
  );
  await deps.client.patch(
    PersistentVolumeClaims,
    { namespace: claim.metadata.namespace, name: claim.metadata.name },
    {
      type: 'merge',
      body: {
        metadata: { uid: claim.metadata.uid },
        status: { capacity: { storage: capacity }, conditions: kept, allocatedResourceStatuses: null },
      },
    },
    { signal, subresource: 'status' },
  );
}

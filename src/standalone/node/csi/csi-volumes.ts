import type { PersistentVolume, Pod } from 'kubernetes-types/core/v1.js';
import { CSIDrivers, PersistentVolumeClaims } from '../../../api/core.ts';
import type { Stored } from '../../../api/resource.ts';
import type { KubeClient } from '../../../kube/client.ts';
import type { Clock } from '../../../lib/clock.ts';
import { keyedLock, type KeyedLock } from '../../../lib/keyed-lock.ts';
import type { PodReferences } from '../references.ts';
import { waitForAttachment } from './attachment.ts';
import { boundClaim, driverSecret, volumeOfClaim } from './claim-volume.ts';
import type { DriverClient } from './driver-client.ts';
import { expandVolume, waitsForNode } from './expand-volume.ts';
import { publishVolume, stageVolume } from './mount-volume.ts';
import { uniqueVolumeName } from './paths.ts';
import { placesOf, type VolumeOfPod } from './places.ts';
import type { PluginRegistry } from './plugin-registry.ts';
import { unpublishVolume, unstageVolume } from './unmount-volume.ts';
import {
  publishedEverywhere,
  publishedFor,
  readVolumeData,
  stagedEverywhere,
  type PublishedVolume,
  type VolumeData,
} from './volume-data.ts';
import { volumeUsers, type VolumeUsers } from './volume-users.ts';
import type { VolumesInUse } from './volumes-in-use.ts';

export interface CsiVolumesDeps {
  readonly client: KubeClient;
  readonly clock: Clock;
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

interface Context {
  readonly deps: CsiVolumesDeps;
  /** By volume: two pods of one node must not stage, or unstage, at once. */
  readonly locks: KeyedLock;
  readonly users: VolumeUsers;
}

const registeredWaitMs = 10_000;
const registeredPollMs = 250;

export function csiVolumes(deps: CsiVolumesDeps): CsiVolumes {
  const context: Context = { deps, locks: keyedLock(() => deps.clock.now()), users: volumeUsers(deps.inUse) };
  return {
    setup: (pod, claimName, readOnly, signal) => setup(context, pod, { claimName, readOnly }, signal),
    teardown: (podUid, signal) => teardown(context, podUid, signal),
    async expand(pod, claimName, signal) {
      const ref = { namespace: pod.metadata?.namespace, name: claimName };
      const claim = await deps.client.get(PersistentVolumeClaims, ref, { signal });
      if (!claim || !waitsForNode(claim)) return;
      const volume = await volumeOfClaim(deps.client, claim, signal);
      const place = volumeOfPod(pod, volume);
      const driver = await requireDriver(deps, place.driver, signal);
      using _held = await context.locks.acquire(lockKey(place), signal);
      const places = placesOf(deps.kubeletRoot, place);
      await expandVolume(deps.client, deps.references, { claim, volume, places, driver }, signal);
    },
    async unstageUnused(signal) {
      for (const { stage, dataFile, data } of await stagedEverywhere(deps.kubeletRoot)) {
        using _held = await context.locks.acquire(lockKey(keysOf(data)), signal);
        await unstageIfUnused(context, data, { stage, stageRecord: dataFile }, signal);
      }
    },
    onDisk: () => namesOnDisk(deps.kubeletRoot),
  };
}

const lockKey = ({ driver, handle }: { readonly driver: string; readonly handle: string }) =>
  uniqueVolumeName(driver, handle);
const keysOf = (data: VolumeData) => ({ driver: data.driverName, handle: data.volumeHandle });

function volumeOfPod(pod: Pod, volume: Stored<PersistentVolume>): VolumeOfPod {
  const source = volume.spec?.csi;
  const { name } = volume.metadata;
  if (!source)
    throw new Error(`persistentvolume "${name}" is not a CSI volume; this node mounts no other kind`);
  return {
    driver: source.driver,
    handle: source.volumeHandle,
    pvName: name,
    podUid: pod.metadata?.uid ?? '',
    isDevice: volume.spec?.volumeMode === 'Block',
  };
}

async function setup(
  context: Context,
  pod: Pod,
  wish: { readonly claimName: string; readonly readOnly: boolean },
  signal: AbortSignal,
): Promise<MountedClaim> {
  const { deps, locks } = context;
  const { client, references, nodeName } = deps;
  const claim = await boundClaim(client, pod, wish.claimName, signal);
  const volume = await volumeOfClaim(client, claim, signal);
  const place = volumeOfPod(pod, volume);
  const { driver: driverName, isDevice } = place;
  // Read while the volume is attached. One that is staged here already does without, so a failure counts there.
  const stageSecrets = driverSecret(references, volume.spec?.csi?.nodeStageSecretRef, signal);
  stageSecrets.catch(() => undefined);
  const { kind, publishContext } = await attachedHere(context, place, signal);
  const driver = await requireDriver(deps, driverName, signal);
  const places = placesOf(deps.kubeletRoot, place);
  const readOnly = wish.readOnly || volume.spec?.csi?.readOnly === true;
  using _held = await locks.acquire(lockKey(place), signal);
  const mount = { pod, volume, kind, driver, publishContext, readOnly, places, nodeName, references };
  await stageVolume({ ...mount, stageSecrets }, signal);
  await publishVolume(mount, signal);
  return { hostPath: places.target, isDevice, readOnly };
}

/** Waits until the volume is attached, where its driver attaches, and the API knows that it is in use here. */
async function attachedHere({ deps, users }: Context, place: VolumeOfPod, signal: AbortSignal) {
  const { client, clock, nodeName } = deps;
  const { driver, handle, podUid } = place;
  // Said before anything is mounted: attach/detach leaves alone what a node says it uses.
  let isTold = false;
  const telling = users.add(uniqueVolumeName(driver, handle), podUid, signal).then(() => {
    isTold = true;
  });
  const attaching = async () => {
    const kind = await client.get(CSIDrivers, { name: driver }, { signal });
    if (kind?.spec.attachRequired === false) return { kind, publishContext: {}, isSure: true };
    const wish = { driver, handle, nodeName };
    const publishContext = await waitForAttachment(client, wish, clock, signal);
    return { kind, publishContext, isSure: isTold };
  };
  const [seen] = await Promise.all([attaching(), telling]);
  // Before we had said so, it could be taken away again at any moment: only a look from now on counts.
  return seen.isSure ? seen : await attaching();
}

async function teardown(context: Context, podUid: string, signal: AbortSignal): Promise<void> {
  const { deps, locks, users } = context;
  const wanted = users.removePod(podUid);
  for (const published of await publishedFor(deps.kubeletRoot, podUid)) {
    const keys = keysOf(published.data);
    using _held = await locks.acquire(lockKey(keys), signal);
    const places = placesOf(deps.kubeletRoot, recorded(published));
    const driver = await requireDriver(deps, keys.driver, signal);
    await unpublishVolume(driver, keys.handle, places, signal);
    await unstageIfUnused(context, published.data, places, signal);
  }
  // A pod that went before its volume was ever mounted leaves nothing on disk, but its claim to it.
  const left = new Set(await namesOnDisk(deps.kubeletRoot));
  for (const name of wanted) if (!left.has(name)) users.releaseIfUnused(name);
}

const recorded = ({ data, pvName, podUid }: PublishedVolume): VolumeOfPod => ({
  ...keysOf(data),
  pvName,
  podUid,
  isDevice: data.volumeMode === 'Block',
});

/** Called with the volume's lock held. */
async function unstageIfUnused(
  { deps, users }: Context,
  data: VolumeData,
  { stage, stageRecord }: { readonly stage: string; readonly stageRecord: string },
  signal: AbortSignal,
): Promise<void> {
  const { driver, handle } = keysOf(data);
  const published = await publishedEverywhere(deps.kubeletRoot);
  if (published.some((one) => one.data.driverName === driver && one.data.volumeHandle === handle)) return;
  if (await readVolumeData(stageRecord))
    await unstageVolume(await requireDriver(deps, driver, signal), handle, stage, stageRecord, signal);
  users.releaseIfUnused(uniqueVolumeName(driver, handle));
}

/** The driver, waited for a moment: its pod may start beside the one that needs it. */
async function requireDriver(deps: CsiVolumesDeps, name: string, signal: AbortSignal): Promise<DriverClient> {
  const untilMs = deps.clock.now() + registeredWaitMs;
  for (;;) {
    const driver = deps.registry.driver(name);
    if (driver) return driver;
    if (deps.clock.now() >= untilMs)
      throw new Error(`driver name ${name} not found in the list of registered CSI drivers`);
    await deps.clock.sleep(registeredPollMs, signal);
  }
}

async function namesOnDisk(kubeletRoot: string): Promise<readonly string[]> {
  const all = [...(await stagedEverywhere(kubeletRoot)), ...(await publishedEverywhere(kubeletRoot))];
  return [...new Set(all.map(({ data }) => uniqueVolumeName(data.driverName, data.volumeHandle)))];
}

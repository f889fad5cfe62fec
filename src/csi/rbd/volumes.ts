import { z } from 'zod';
import { isCephError } from '../../ceph/errors.ts';
import type { Ceph, CephCallOptions, PoolPlace, RbdImageInfo } from '../../ceph/seam.ts';
import { Code, RpcError } from '../../lib/grpc.ts';
import type { Clusters, Secrets } from '../clusters.ts';
import { decodeHandle, encodeHandle } from '../handle.ts';
import { forget, readEntry, readTraces, rememberImageId, reserve, type JournalEntry } from '../journal.ts';
import type { RbdParameters } from '../parameters.ts';
import { detachImage } from './detach.ts';
import { attachedNode, lockForNode, type LockNode } from './node-lock.ts';
import type { TrashBin } from './trash-bin.ts';

export interface NewVolume {
  readonly name: string;
  readonly parameters: RbdParameters;
  readonly bytes: bigint;
  /** 0n where there is none. */
  readonly limitBytes: bigint;
}

export interface Volume {
  readonly handle: string;
  readonly bytes: bigint;
  readonly context: Readonly<Record<string, string>>;
}

/** Images as CSI volumes. Every operation may be repeated; what an earlier one left half-done is finished. */
export interface RbdVolumes {
  create(wanted: NewVolume, secrets: Secrets, signal: AbortSignal): Promise<Volume>;
  /** An absent volume is no error. */
  remove(handle: string, secrets: Secrets, signal: AbortSignal): Promise<void>;
  exists(handle: string, secrets: Secrets, signal: AbortSignal): Promise<boolean>;
  /** Answers the size in bytes afterwards; never shrinks. NotFound where there is no such volume. */
  expand(handle: string, bytes: bigint, secrets: Secrets, signal: AbortSignal): Promise<bigint>;
  /** Lets one node have the volume; FailedPrecondition where another has it. */
  attach(handle: string, node: LockNode, secrets: Secrets, signal: AbortSignal): Promise<void>;
  detach(handle: string, node: string | undefined, secrets: Secrets, signal: AbortSignal): Promise<void>;
}

export function rbdVolumes(clusters: Clusters, trash: TrashBin): RbdVolumes {
  return {
    create: (wanted, secrets, signal) => createVolume(clusters, trash, wanted, secrets, signal),
    remove: (handle, secrets, signal) => removeVolume(clusters, trash, handle, secrets, signal),
    async exists(handle, secrets, signal) {
      return (await findImage(clusters, handle, secrets, { signal })) !== undefined;
    },
    async expand(handle, bytes, secrets, signal) {
      const { ceph, place, journal, image } = await needImage(clusters, handle, secrets, { signal });
      if (image.sizeBytes >= bytes) return image.sizeBytes;
      await ceph.rbd.resize(place, journal.imageName, bytes, { signal });
      return bytes;
    },
    async attach(handle, node, secrets, signal) {
      const { ceph, place, journal, image } = await needImage(clusters, handle, secrets, { signal });
      // Which image the entry means is true whoever gets the lock.
      await Promise.all([
        lockForNode(ceph, place, { imageId: image.id, handle, node }, { signal }),
        journal.imageId === image.id
          ? undefined
          : rememberImageId(ceph, place, journal.uuid, image.id, { signal }),
      ]);
    },
    async detach(handle, node, secrets, signal) {
      const found = await findImage(clusters, handle, secrets, { signal });
      if (!found) return;
      const { ceph, place, journal, image } = found;
      await detachImage(ceph, place, { id: image.id, name: journal.imageName }, node, { signal });
    },
  };
}

async function createVolume(
  clusters: Clusters,
  trash: TrashBin,
  wanted: NewVolume,
  secrets: Secrets,
  signal: AbortSignal,
): Promise<Volume> {
  const { name, parameters } = wanted;
  const { clusterId } = parameters;
  const { ceph, entry } = await clusters.open(clusterId, secrets);
  const options = { signal };
  const place: PoolPlace = { pool: parameters.pool, namespace: entry.radosNamespace };
  // Three small reads that do not depend on each other cost one round trip, not three.
  const [poolId, traces] = await Promise.all([
    poolIdOf(ceph, parameters.pool, options),
    // A pool that is not there fails here too, with less to say: the other one's words count.
    readTraces(ceph, { journal: place, image: place }, name, options).catch((error: unknown) => {
      if (isCephError(error, 'ENOENT')) return { standing: undefined, taken: undefined };
      throw error;
    }),
    parameters.dataPool ? poolIdOf(ceph, parameters.dataPool, options) : undefined,
  ]);
  const places = { journal: place, journalPoolId: poolId, image: place, imagePoolId: poolId };
  trash.emptyOnce(ceph, place);
  const reservation = { requestName: name, namePrefix: parameters.namePrefix, owner: parameters.owner };
  const journal = await reserve(ceph, places, reservation, traces, options);
  const bytes = await ensureImage(ceph, place, journal.imageName, wanted, options);
  return {
    handle: encodeHandle({ clusterId, locationId: BigInt(poolId), uuid: journal.uuid }),
    bytes,
    context: contextOf(parameters, journal, entry.radosNamespace),
  };
}

async function removeVolume(
  clusters: Clusters,
  trash: TrashBin,
  handle: string,
  secrets: Secrets,
  signal: AbortSignal,
): Promise<void> {
  const options = { signal };
  const location = await locate(clusters, handle, secrets, options);
  if (!location) return;
  const { ceph, place, uuid } = location;
  trash.emptyOnce(ceph, place);
  const journal = await readEntry(ceph, place, uuid, options);
  if (!journal) return;
  const image = await ceph.rbd.info(place, journal.imageName, options);
  if (image) {
    await refuseInUse(ceph, place, journal.imageName, image.id, options);
    // Out of the way at once; its objects go in the background, for a large image has many.
    await trash.take(ceph, place, { id: image.id, name: journal.imageName }, options);
  }
  await forget(ceph, place, place, journal, options);
  trash.empty(ceph, place);
}

/** Where a volume id leads, before anything is known of what is there. */
interface Location {
  readonly ceph: Ceph;
  readonly place: PoolPlace;
  readonly uuid: string;
}

/** Undefined where the pool is gone: then the volume is. */
async function locate(
  clusters: Clusters,
  handle: string,
  secrets: Secrets,
  options: CephCallOptions,
): Promise<Location | undefined> {
  const { clusterId, locationId, uuid } = decodeHandle(handle);
  const { ceph, entry } = await clusters.open(clusterId, secrets);
  const pool = await ceph.poolName(Number(locationId), options);
  return pool === undefined ? undefined : { ceph, place: { pool, namespace: entry.radosNamespace }, uuid };
}

interface VolumeImage {
  readonly ceph: Ceph;
  readonly place: PoolPlace;
  readonly journal: JournalEntry;
  readonly image: RbdImageInfo;
}

/** Undefined where the pool, the journal's entry or the image is gone: then the volume is. */
async function findImage(
  clusters: Clusters,
  handle: string,
  secrets: Secrets,
  options: CephCallOptions,
): Promise<VolumeImage | undefined> {
  const location = await locate(clusters, handle, secrets, options);
  if (!location) return undefined;
  const { ceph, place, uuid } = location;
  const journal = await readEntry(ceph, place, uuid, options);
  const image = journal && (await ceph.rbd.info(place, journal.imageName, options));
  return journal && image && { ceph, place, journal, image };
}

async function needImage(
  clusters: Clusters,
  handle: string,
  secrets: Secrets,
  options: CephCallOptions,
): Promise<VolumeImage> {
  const found = await findImage(clusters, handle, secrets, options);
  if (!found) throw new RpcError(Code.NOT_FOUND, `there is no volume ${handle}`);
  return found;
}

async function poolIdOf(ceph: Ceph, pool: string, options: CephCallOptions): Promise<number> {
  const id = await ceph.poolId(pool, options);
  if (id === undefined) {
    const pools = await ceph.mon({ prefix: 'osd pool ls' }, z.array(z.string()), options);
    // Ceph's own, such as .mgr, are nothing to choose from.
    const others = pools
      .filter((name) => !name.startsWith('.'))
      .sort()
      .slice(0, 20)
      .join(', ');
    throw new RpcError(
      Code.FAILED_PRECONDITION,
      `pool "${pool}" does not exist in this Ceph cluster (it has ${others || 'none yet'}): create a CephBlockPool of that name, or correct "pool" in the StorageClass`,
    );
  }
  return id;
}

/** Creates the image, or accepts the one that an earlier call made where its size fits. Answers its size. */
async function ensureImage(
  ceph: Ceph,
  place: PoolPlace,
  image: string,
  wanted: NewVolume,
  options: CephCallOptions,
): Promise<bigint> {
  const { parameters, bytes, limitBytes, name } = wanted;
  try {
    await ceph.rbd.create(
      place,
      image,
      {
        sizeBytes: bytes,
        features: parameters.features,
        dataPool: parameters.dataPool,
        objectSizeBytes: parameters.objectSizeBytes,
        stripeUnitBytes: parameters.stripeUnitBytes,
        stripeCount: parameters.stripeCount,
      },
      options,
    );
    return bytes;
  } catch (error) {
    if (!isCephError(error, 'EEXIST')) throw error;
  }
  const there = await ceph.rbd.info(place, image, options);
  if (!there)
    throw new RpcError(Code.ABORTED, `image ${image} was removed while it was looked at; try again`);
  const fits = there.sizeBytes >= bytes && (limitBytes === 0n || there.sizeBytes <= limitBytes);
  if (!fits) {
    throw new RpcError(
      Code.ALREADY_EXISTS,
      `volume ${name} exists already with ${there.sizeBytes} bytes, and ${bytes} are asked for`,
    );
  }
  return there.sizeBytes;
}

async function refuseInUse(
  ceph: Ceph,
  place: PoolPlace,
  image: string,
  imageId: string,
  options: CephCallOptions,
): Promise<void> {
  const node = await attachedNode(ceph, place, imageId, options);
  if (node !== undefined)
    throw new RpcError(Code.FAILED_PRECONDITION, `image ${image} is still attached to node ${node}`);
  const watchers = await ceph.rbd.watchers(place, image, options);
  if (watchers.length > 0) {
    const addresses = watchers.map((watcher) => watcher.address).join(', ');
    throw new RpcError(Code.FAILED_PRECONDITION, `image ${image} is still in use by ${addresses}`);
  }
}

/** What ceph-csi writes into a PV's volumeAttributes, so that either driver can serve it. */
function contextOf(
  parameters: RbdParameters,
  journal: JournalEntry,
  radosNamespace: string | undefined,
): Record<string, string> {
  return {
    ...parameters.context,
    clusterID: parameters.clusterId,
    pool: parameters.pool,
    journalPool: parameters.pool,
    imageName: journal.imageName,
    imageFeatures: parameters.features.join(','),
    ...(radosNamespace ? { radosNamespace } : {}),
  };
}

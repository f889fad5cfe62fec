import { plainAddress } from '../client-address.ts';
import { rbdFeatureBits, rbdFeatureNames } from '../../lib/rbd-features.ts';
import type { PoolPlace, RbdCreateOptions, RbdImageInfo, RbdWatcher } from '../seam.ts';
import { withPool, type Cluster } from './cluster.ts';
import type { Pointer } from '../../lib/koffi.ts';
import { callAsync, check, CodeError, noEntry, tooSmall } from './koffi-api.ts';

const optionIds = { features: 1, order: 2, stripeUnit: 3, stripeCount: 4, dataPool: 10 } as const;
const invalid = -22;
const defaultFeatures = 0; // Set explicitly, so that rbd_default_features of some ceph.conf never counts.

export const createImage = (
  cluster: Cluster,
  place: PoolPlace,
  image: string,
  create: RbdCreateOptions,
): Promise<number> =>
  withPool(cluster, place, async (io) => {
    const { rbd } = cluster;
    const bits = rbdFeatureBits(create.features);
    if (bits === undefined)
      throw new CodeError(invalid, `unknown feature among ${create.features.join(',')}`);
    const out: Pointer[] = [null];
    rbd.optionsCreate(out);
    const options = out[0] ?? null;
    try {
      const set = (id: number, value: number | bigint | undefined) => {
        if (value !== undefined) rbd.optionsSetUint64(options, id, value);
      };
      set(optionIds.features, bits || defaultFeatures);
      set(optionIds.order, create.objectSizeBytes && orderOf(create.objectSizeBytes));
      set(optionIds.stripeUnit, create.stripeUnitBytes);
      set(optionIds.stripeCount, create.stripeCount);
      if (create.dataPool !== undefined) rbd.optionsSetString(options, optionIds.dataPool, create.dataPool);
      return await check(rbd.create4, io, image, create.sizeBytes, options);
    } finally {
      rbd.optionsDestroy(options);
    }
  });

function orderOf(objectSizeBytes: number): number {
  const order = Math.log2(objectSizeBytes);
  if (!Number.isInteger(order)) throw new CodeError(invalid, 'the object size is no power of two');
  return order;
}

async function withImage<T>(
  cluster: Cluster,
  place: PoolPlace,
  image: string,
  mode: 'read' | 'write',
  body: (handle: Pointer) => Promise<T>,
): Promise<T> {
  const { rbd } = cluster;
  return await withPool(cluster, place, async (io) => {
    const out: Pointer[] = [null];
    await check(mode === 'read' ? rbd.openReadOnly : rbd.open, io, image, out, null);
    const handle = out[0] ?? null;
    try {
      return await body(handle);
    } finally {
      await callAsync<number>(rbd.close, handle);
    }
  });
}

const imageInfoBytes = 160; // sizeof(rbd_image_info_t)

async function statImage({ rbd }: Cluster, handle: Pointer): Promise<{ size: bigint; objectSize: number }> {
  const info = Buffer.alloc(256);
  await check(rbd.stat, handle, info, imageInfoBytes);
  return { size: info.readBigUInt64LE(0), objectSize: Number(info.readBigUInt64LE(8)) };
}

export async function imageInfo(
  cluster: Cluster,
  place: PoolPlace,
  image: string,
): Promise<RbdImageInfo | undefined> {
  try {
    return await withImage(cluster, place, image, 'read', async (handle) => {
      const { size, objectSize } = await statImage(cluster, handle);
      const id = Buffer.alloc(128);
      await check(cluster.rbd.getId, handle, id, id.length);
      const features = Buffer.alloc(8);
      await check(cluster.rbd.getFeatures, handle, features);
      return {
        id: id.toString('utf8', 0, id.indexOf(0)),
        sizeBytes: size,
        features: rbdFeatureNames(features.readBigUInt64LE(0)),
        objectSizeBytes: objectSize,
      };
    });
  } catch (error) {
    // A missing pool carries a text; a missing image does not.
    if (error instanceof CodeError && error.code === noEntry && error.text === '') return undefined;
    throw error;
  }
}

/** Calls a librbd list function until the array is long enough; answers the raw array. */
async function growing(
  entryBytes: number,
  list: (entries: Buffer, count: Buffer) => Promise<number>,
): Promise<{ readonly entries: Buffer; readonly count: number }> {
  let room = 64;
  for (let round = 0; round < 8; round++) {
    const entries = Buffer.alloc(room * entryBytes);
    const count = Buffer.alloc(8);
    count.writeBigUInt64LE(BigInt(room));
    const code = await list(entries, count);
    if (code === tooSmall) {
      room = Math.max(room * 2, Number(count.readBigUInt64LE(0)) + 16);
      continue;
    }
    if (code < 0) throw new CodeError(code);
    return { entries, count: Number(count.readBigUInt64LE(0)) };
  }
  throw new CodeError(tooSmall, 'the list grows faster than it can be read');
}

const stringAt = ({ koffi }: Cluster, entries: Buffer, at: number): string => {
  const pointer = entries.readBigUInt64LE(at);
  return pointer === 0n ? '' : koffi.decode.string(pointer);
};

export const listImages = (cluster: Cluster, place: PoolPlace): Promise<{ id: string; name: string }[]> =>
  withPool(cluster, place, async (io) => {
    const bytes = 16; // rbd_image_spec_t: id, name
    const { entries, count } = await growing(bytes, (images, max) =>
      callAsync<number>(cluster.rbd.list2, io, images, max),
    );
    const found = Array.from({ length: count }, (_, at) => ({
      id: stringAt(cluster, entries, at * bytes),
      name: stringAt(cluster, entries, at * bytes + 8),
    }));
    cluster.rbd.imageSpecListCleanup(entries, count);
    return found;
  });

export const trashList = (cluster: Cluster, place: PoolPlace): Promise<{ id: string; name: string }[]> =>
  withPool(cluster, place, async (io) => {
    const bytes = 40; // rbd_trash_image_info_t: id, name, source, deletion_time, deferment_end_time
    const { entries, count } = await growing(bytes, (trash, max) =>
      callAsync<number>(cluster.rbd.trashList, io, trash, max),
    );
    const found = Array.from({ length: count }, (_, at) => ({
      id: stringAt(cluster, entries, at * bytes),
      name: stringAt(cluster, entries, at * bytes + 8),
    }));
    cluster.rbd.trashListCleanup(entries, count);
    return found;
  });

export const imageWatchers = (cluster: Cluster, place: PoolPlace, image: string): Promise<RbdWatcher[]> =>
  withImage(cluster, place, image, 'read', async (handle) => {
    const bytes = 24; // rbd_image_watcher_t: addr, id, cookie
    const { entries, count } = await growing(bytes, (watchers, max) =>
      callAsync<number>(cluster.rbd.watchersList, handle, watchers, max),
    );
    const found = Array.from({ length: count }, (_, at) => ({
      address: plainAddress(stringAt(cluster, entries, at * bytes)),
      client: `client.${entries.readBigInt64LE(at * bytes + 8)}`,
    }));
    cluster.rbd.watchersListCleanup(entries, count);
    return found;
  });

/** Refuses to shrink: what lies beyond the new end would be gone. */
export const resizeImage = (
  cluster: Cluster,
  place: PoolPlace,
  image: string,
  sizeBytes: bigint,
): Promise<void> =>
  withImage(cluster, place, image, 'write', async (handle) => {
    const { size } = await statImage(cluster, handle);
    if (sizeBytes < size) throw new CodeError(invalid, `${image} has ${size} bytes and is never shrunk`);
    if (sizeBytes > size) await check(cluster.rbd.resize, handle, sizeBytes);
  });

async function orFalse(code: Promise<number>): Promise<boolean> {
  const result = Number(await code);
  if (result === noEntry) return false;
  if (result < 0) throw new CodeError(result);
  return true;
}

export const removeImage = (cluster: Cluster, place: PoolPlace, image: string): Promise<boolean> =>
  withPool(cluster, place, (io) => orFalse(callAsync<number>(cluster.rbd.remove, io, image)));

export const trashMove = (
  cluster: Cluster,
  place: PoolPlace,
  image: string,
  delaySeconds: number,
): Promise<boolean> =>
  withPool(cluster, place, (io) =>
    orFalse(callAsync<number>(cluster.rbd.trashMove, io, image, delaySeconds)),
  );

export const trashRemove = (cluster: Cluster, place: PoolPlace, id: string): Promise<boolean> =>
  withPool(cluster, place, (io) => orFalse(callAsync<number>(cluster.rbd.trashRemove, io, id, false)));

export const metadataGet = (
  cluster: Cluster,
  place: PoolPlace,
  image: string,
  key: string,
): Promise<string | undefined> =>
  withImage(cluster, place, image, 'read', async (handle) => {
    for (let size = 1024; size <= 1024 * 1024; size *= 8) {
      const value = Buffer.alloc(size);
      const length = Buffer.alloc(8);
      length.writeBigUInt64LE(BigInt(size));
      const code = Number(await callAsync<number>(cluster.rbd.metadataGet, handle, key, value, length));
      if (code === tooSmall) continue;
      if (code === noEntry) return undefined;
      if (code < 0) throw new CodeError(code);
      const end = value.indexOf(0);
      return value.toString('utf8', 0, end < 0 ? Number(length.readBigUInt64LE(0)) : end);
    }
    throw new CodeError(tooSmall, `the value of ${key} is too long`);
  });

export const metadataSet = (
  cluster: Cluster,
  place: PoolPlace,
  image: string,
  key: string,
  value: string,
): Promise<number> =>
  withImage(cluster, place, image, 'write', (handle) => check(cluster.rbd.metadataSet, handle, key, value));

export const initPool = (cluster: Cluster, place: PoolPlace): Promise<number> =>
  withPool(cluster, place, (io) => check(cluster.rbd.poolInit, io, false));

const exists = -17;

export const createNamespace = (cluster: Cluster, place: PoolPlace): Promise<void> =>
  withPool(cluster, { pool: place.pool }, async (io) => {
    if (!place.namespace) throw new CodeError(invalid, 'no name');
    const code = await callAsync<number>(cluster.rbd.namespaceCreate, io, place.namespace);
    if (code < 0 && code !== exists) throw new CodeError(code);
  });

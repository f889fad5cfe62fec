import type { LockHolder, ObjectLock, PoolPlace } from '../seam.ts';
import { withPool, type Cluster } from './cluster.ts';
import { plainAddress } from '../client-address.ts';
import type { Pointer } from '../../lib/koffi.ts';
import { callAsync, check, CodeError, noEntry, tooSmall } from './koffi-api.ts';

const exclusive = 1;
const idempotent = 0;

const byteLengths = (texts: readonly string[]) => texts.map((text) => Buffer.byteLength(text));

async function write(
  cluster: Cluster,
  place: PoolPlace,
  object: string,
  build: (op: Pointer) => void,
): Promise<void> {
  const { rados } = cluster;
  await withPool(cluster, place, async (io) => {
    const op = rados.createWriteOp() as Pointer;
    try {
      build(op);
      await check(rados.writeOpOperate, op, io, object, null, 0);
    } finally {
      rados.releaseWriteOp(op);
    }
  });
}

export const createExclusive = (cluster: Cluster, place: PoolPlace, object: string): Promise<void> =>
  write(cluster, place, object, (op) => {
    cluster.rados.writeOpCreate(op, exclusive, null);
  });

export const removeObject = (cluster: Cluster, place: PoolPlace, object: string): Promise<boolean> =>
  withPool(cluster, place, async (io) => {
    const code = Number(await callAsync<number>(cluster.rados.remove, io, object));
    if (code === noEntry) return false;
    if (code < 0) throw new CodeError(code);
    return true;
  });

export const omapSet = (
  cluster: Cluster,
  place: PoolPlace,
  object: string,
  values: ReadonlyMap<string, string>,
): Promise<void> =>
  write(cluster, place, object, (op) => {
    const keys = [...values.keys()];
    const texts = [...values.values()];
    cluster.rados.writeOpCreate(op, idempotent, null);
    cluster.rados.writeOpOmapSet2(op, keys, texts, byteLengths(keys), byteLengths(texts), keys.length);
  });

export const omapRemove = (
  cluster: Cluster,
  place: PoolPlace,
  object: string,
  keys: readonly string[],
): Promise<void> =>
  write(cluster, place, object, (op) => {
    cluster.rados.writeOpCreate(op, idempotent, null);
    cluster.rados.writeOpOmapRmKeys2(op, keys, byteLengths(keys), keys.length);
  });

async function read(
  cluster: Cluster,
  place: PoolPlace,
  object: string,
  build: (op: Pointer, iterator: Buffer, more: Buffer, result: Buffer) => void,
): Promise<{ readonly values: Map<string, string>; readonly more: boolean }> {
  const { rados } = cluster;
  return await withPool(cluster, place, async (io) => {
    // Written when the operation runs, so they are memory of ours that outlives the call that names them.
    const iterator = Buffer.alloc(8);
    const more = Buffer.alloc(8);
    const result = Buffer.alloc(8);
    const op = rados.createReadOp() as Pointer;
    try {
      build(op, iterator, more, result);
      const code = Number(await callAsync<number>(rados.readOpOperate, op, io, object, 0));
      if (code === noEntry) return { values: new Map(), more: false };
      if (code < 0) throw new CodeError(code);
      if (result.readInt32LE(0) < 0) throw new CodeError(result.readInt32LE(0));
      return { values: drain(cluster, iterator.readBigUInt64LE(0)), more: more[0] === 1 };
    } finally {
      const pointer = iterator.readBigUInt64LE(0);
      if (pointer !== 0n) rados.omapGetEnd(pointer);
      rados.releaseReadOp(op);
    }
  });
}

function drain({ koffi, rados }: Cluster, iterator: bigint): Map<string, string> {
  const values = new Map<string, string>();
  const key: Pointer[] = [null];
  const value: Pointer[] = [null];
  const keyLength = [0];
  const valueLength = [0];
  for (;;) {
    const code = Number(rados.omapGetNext2(iterator, key, value, keyLength, valueLength));
    if (code < 0) throw new CodeError(code);
    if (key[0] === null || key[0] === undefined) return values;
    values.set(
      koffi.decode.string(key[0], Number(keyLength[0])),
      Number(valueLength[0]) === 0 ? '' : koffi.decode.string(value[0] ?? null, Number(valueLength[0])),
    );
  }
}

export async function omapGet(
  cluster: Cluster,
  place: PoolPlace,
  object: string,
  keys: readonly string[],
): Promise<Map<string, string>> {
  if (keys.length === 0) return new Map();
  const { values } = await read(cluster, place, object, (op, iterator, _more, result) => {
    cluster.rados.readOpOmapGetValsByKeys2(op, keys, keys.length, byteLengths(keys), iterator, result);
  });
  return values;
}

const page = 1000;

export async function omapList(
  cluster: Cluster,
  place: PoolPlace,
  object: string,
  after: string,
  limit: number,
): Promise<Map<string, string>> {
  const all = new Map<string, string>();
  let from = after;
  while (all.size < limit) {
    const { values, more } = await read(cluster, place, object, (op, iterator, moreFlag, result) => {
      cluster.rados.readOpOmapGetVals2(
        op,
        from,
        '',
        Math.min(page, limit - all.size),
        iterator,
        moreFlag,
        result,
      );
    });
    for (const [key, value] of values) {
      all.set(key, value);
      from = key;
    }
    if (!more || values.size === 0) break;
  }
  return all;
}

export const lockObject = (
  cluster: Cluster,
  place: PoolPlace,
  object: string,
  lock: ObjectLock,
): Promise<number> =>
  withPool(cluster, place, (io) =>
    check(cluster.rados.lockExclusive, io, object, lock.name, lock.cookie, lock.description, null, 0),
  );

export const unlockObject = (
  cluster: Cluster,
  place: PoolPlace,
  object: string,
  lock: Pick<ObjectLock, 'name' | 'cookie'>,
): Promise<number> =>
  withPool(cluster, place, (io) => check(cluster.rados.unlock, io, object, lock.name, lock.cookie));

export const breakLock = (
  cluster: Cluster,
  place: PoolPlace,
  object: string,
  name: string,
  holder: LockHolder,
): Promise<number> =>
  withPool(cluster, place, (io) =>
    check(cluster.rados.breakLock, io, object, name, holder.client, holder.cookie),
  );

export const lockHolders = (
  cluster: Cluster,
  place: PoolPlace,
  object: string,
  name: string,
): Promise<LockHolder[]> =>
  withPool(cluster, place, async (io) => {
    for (let size = 1024; size <= 1024 * 1024; size *= 8) {
      const exclusiveFlag = Buffer.alloc(4);
      const columns = Array.from({ length: 4 }, () => Buffer.alloc(size));
      const lengths = columns.map(() => {
        const length = Buffer.alloc(8);
        length.writeBigUInt64LE(BigInt(size));
        return length;
      });
      const pairs = columns.flatMap((column, at) => [column, lengths[at]]);
      const count = Number(
        await callAsync<number | bigint>(
          cluster.rados.listLockers,
          io,
          object,
          name,
          exclusiveFlag,
          ...pairs,
        ),
      );
      if (count === tooSmall) continue;
      if (count === noEntry) return [];
      if (count < 0) throw new CodeError(count);
      const [, clients = [], cookies = [], addresses = []] = columns.map((column) => strings(column, count));
      return clients.map((client, at) => ({
        client,
        cookie: cookies[at] ?? '',
        address: plainAddress(addresses[at] ?? ''),
      }));
    }
    throw new CodeError(tooSmall, 'the list of lock holders is too long');
  });

/** `count` NUL-terminated strings, one after the other. */
function strings(buffer: Buffer, count: number): string[] {
  const found: string[] = [];
  for (let at = 0; found.length < count;) {
    const end = buffer.indexOf(0, at);
    if (end < 0) break;
    found.push(buffer.toString('utf8', at, end));
    at = end + 1;
  }
  return found;
}

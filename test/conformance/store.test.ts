import { setMaxListeners } from 'node:events';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { systemClock } from '../../src/lib/clock.ts';
import { etcdStore } from '../../src/standalone/apiserver/store/etcd-store.ts';
import { memoryStore } from '../../src/standalone/apiserver/store/memory-store.ts';
import { isStoreError, type Store, type StoreBatch } from '../../src/standalone/apiserver/store/store.ts';
import { startEtcd, type TestEtcd } from '../support/etcd.ts';

const { signal } = new AbortController();
setMaxListeners(0, signal); // Shared by all calls at once.
let etcd: TestEtcd;
beforeAll(async () => {
  etcd = await startEtcd();
});
afterAll(() => etcd.close());

const makers: Readonly<Record<string, () => Store>> = {
  memory: () => memoryStore(),
  etcd: () => etcdStore({ endpoint: etcd.endpoint, tls: etcd.tls, clock: systemClock }),
};

async function put(store: Store, key: string, value: string, expected = 0): Promise<number> {
  const result = await store.commit([{ key, expected, value }], signal);
  if (!result.committed) throw new Error(`${key} was not at ${expected}`);
  return result.revision;
}

/** Gathers batches until `enough` says so. */
async function gather(
  watch: AsyncIterable<StoreBatch>,
  enough: (batches: readonly StoreBatch[]) => boolean,
): Promise<StoreBatch[]> {
  const batches: StoreBatch[] = [];
  for await (const batch of watch) {
    batches.push(batch);
    if (enough(batches)) break;
  }
  return batches;
}

const events = (batches: readonly StoreBatch[]) => batches.flatMap((batch) => batch.events);
const atLeast = (count: number) => (batches: readonly StoreBatch[]) => events(batches).length >= count;

describe.each(Object.keys(makers))('the %s store', (name) => {
  let store: Store;
  let prefix: string;
  let run = 0;
  beforeEach(() => {
    store = (makers[name] as () => Store)();
    prefix = `/registry/${name}${run++}/`;
  });
  afterEach(() => store.close());

  test('gives back what was put, with the revision that wrote it', async () => {
    expect(await store.get(`${prefix}a`, signal)).toBeUndefined();
    const revision = await put(store, `${prefix}a`, '{"x":"ü"}');
    expect(await store.get(`${prefix}a`, signal)).toEqual({
      key: `${prefix}a`,
      value: '{"x":"ü"}',
      revision,
    });
    expect(await store.revision(signal)).toBe(revision);
  });

  test('writes only over what the writer expects, and says what is there', async () => {
    const first = await put(store, `${prefix}a`, '1');
    const refused = await store.commit([{ key: `${prefix}a`, expected: 0, value: '2' }], signal);
    expect(refused).toEqual({
      committed: false,
      current: [{ key: `${prefix}a`, value: '1', revision: first }],
    });
    const second = await put(store, `${prefix}a`, '2', first);
    expect(second).toBeGreaterThan(first);
    expect((await store.get(`${prefix}a`, signal))?.value).toBe('2');
    expect(await store.commit([{ key: `${prefix}none`, expected: first, value: 'x' }], signal)).toEqual({
      committed: false,
      current: [undefined],
    });
  });

  test('makes all changes of a commit or none, at one revision', async () => {
    const a = await put(store, `${prefix}a`, '1');
    const none = await store.commit(
      [
        { key: `${prefix}a`, expected: a },
        { key: `${prefix}b`, expected: 7, value: 'x' },
      ],
      signal,
    );
    expect(none.committed).toBe(false);
    expect((await store.get(`${prefix}a`, signal))?.value).toBe('1');
    const all = await store.commit(
      [
        { key: `${prefix}a`, expected: a },
        { key: `${prefix}b`, expected: 0, value: 'x' },
      ],
      signal,
    );
    expect(all.committed).toBe(true);
    expect(await store.get(`${prefix}a`, signal)).toBeUndefined();
    expect((await store.get(`${prefix}b`, signal))?.revision).toBe(all.committed ? all.revision : -1);
  });

  test('lets one of fifty racing writers win', async () => {
    const results = await Promise.all(
      Array.from({ length: 50 }, (_, i) =>
        store.commit([{ key: `${prefix}race`, expected: 0, value: String(i) }], signal),
      ),
    );
    expect(results.filter(({ committed }) => committed)).toHaveLength(1);
  });

  test('lists a prefix in order, in pages, as of one revision', async () => {
    for (const key of ['c', 'a', 'b', 'd']) await put(store, prefix + key, key);
    await put(store, `${prefix.slice(0, -1)}other`, 'not in the prefix');
    const first = await store.list({ prefix, limit: 3 }, signal);
    expect(first.entries.map(({ value }) => value)).toEqual(['a', 'b', 'c']);
    expect(first.remaining).toBe(1);
    await put(store, `${prefix}e`, 'e');
    const at = { prefix, after: `${prefix}c`, revision: first.revision };
    const second = await store.list(at, signal);
    expect(second.entries.map(({ value }) => value)).toEqual(['d']);
    expect(second.remaining).toBe(0);
    expect((await store.list({ prefix }, signal)).entries).toHaveLength(5);
  });

  test('shows the past until it is compacted, and refuses the future', async () => {
    const first = await put(store, `${prefix}a`, 'old');
    const second = await put(store, `${prefix}a`, 'new', first);
    await store.commit([{ key: `${prefix}a`, expected: second }], signal);
    expect((await store.list({ prefix, revision: first }, signal)).entries[0]?.value).toBe('old');
    expect((await store.list({ prefix, revision: second }, signal)).entries[0]?.value).toBe('new');
    expect((await store.list({ prefix }, signal)).entries).toEqual([]);
    await store.compact(second, signal);
    await expect(store.list({ prefix, revision: first }, signal)).rejects.toSatisfy((e) =>
      isStoreError(e, 'COMPACTED'),
    );
    await expect(store.compact(first, signal)).rejects.toSatisfy((e) => isStoreError(e, 'COMPACTED'));
    await expect(store.list({ prefix, revision: second + 1000 }, signal)).rejects.toSatisfy((e) =>
      isStoreError(e, 'FUTURE_REVISION'),
    );
  });

  test('watches from a revision: what was before it came, nothing lost, nothing twice', async () => {
    const before = await store.revision(signal);
    const a = await put(store, `${prefix}a`, '1');
    const b = await put(store, `${prefix}a`, '2', a);
    const seen = gather(store.watch(prefix, before, signal), atLeast(4));
    await put(store, `${prefix.slice(0, -1)}other`, 'not in the prefix');
    await put(store, `${prefix}b`, '3');
    await store.commit([{ key: `${prefix}a`, expected: b }], signal);
    const found = events(await seen);
    expect(found.map((e) => [e.type, e.key.slice(prefix.length), e.type === 'put' ? e.value : ''])).toEqual([
      ['put', 'a', '1'],
      ['put', 'a', '2'],
      ['put', 'b', '3'],
      ['delete', 'a', ''],
    ]);
    const revisions = found.map(({ revision }) => revision);
    expect(revisions).toEqual([...revisions].sort((x, y) => x - y));
    expect(events(await gather(store.watch(prefix, a, signal), atLeast(1)))[0]?.revision).toBe(b);
  });

  test('keeps the changes of one commit in one batch', async () => {
    const before = await store.revision(signal);
    const seen = gather(store.watch(prefix, before, signal), atLeast(100));
    await store.commit(
      Array.from({ length: 100 }, (_, i) => ({
        key: `${prefix}${i}`,
        expected: 0,
        value: 'x'.repeat(10_000),
      })),
      signal,
    );
    const batches = (await seen).filter((batch) => batch.events.length > 0);
    expect(batches).toHaveLength(1);
    expect(new Set(events(batches).map(({ revision }) => revision)).size).toBe(1);
  });

  test('tells a watch of a compacted revision so', async () => {
    const first = await put(store, `${prefix}a`, '1');
    let last = first;
    for (let i = 0; i < 5; i++) last = await put(store, `${prefix}a`, String(i), last);
    await store.compact(last, signal);
    await expect(gather(store.watch(prefix, first, signal), () => false)).rejects.toSatisfy((e) =>
      isStoreError(e, 'COMPACTED'),
    );
  });

  test('ends a watch by its signal', async () => {
    const own = new AbortController();
    const watching = gather(store.watch(prefix, await store.revision(signal), own.signal), () => false);
    own.abort(new Error('enough'));
    await expect(watching).rejects.toThrow('enough');
  });

  test('refuses a value and a commit that are too large, and writes nothing', async () => {
    const value = 'x'.repeat(2_000_000);
    await expect(put(store, `${prefix}big`, value)).rejects.toSatisfy((e) => isStoreError(e, 'TOO_LARGE'));
    expect(await store.get(`${prefix}big`, signal)).toBeUndefined();
    const many = Array.from({ length: 129 }, (_, i) => ({ key: `${prefix}${i}`, expected: 0, value: 'x' }));
    await expect(store.commit(many, signal)).rejects.toSatisfy((e) => isStoreError(e, 'TOO_LARGE'));
    expect((await store.list({ prefix }, signal)).entries).toEqual([]);
  });
});

test('a watch over a killed etcd goes on where it was, without a gap', async () => {
  const broken: unknown[] = [];
  const { endpoint, tls } = etcd;
  const store = etcdStore({ endpoint, tls, clock: systemClock, onBroken: (error) => broken.push(error) });
  const before = await store.revision(signal);
  const seen = gather(store.watch('/registry/kill/', before, signal), atLeast(3));
  await put(store, '/registry/kill/a', '1');
  await etcd.kill();
  await expect(put(store, '/registry/kill/lost', 'x')).rejects.toSatisfy((e) =>
    isStoreError(e, 'OUTCOME_UNKNOWN'),
  );
  await etcd.start();
  // A write whose outcome is unknown may have come through: then the next one finds it there.
  const retry = async (key: string): Promise<void> => {
    const write = async () => {
      await store.commit([{ key, expected: 0, value: 'x' }], signal);
      return true;
    };
    while (!(await write().catch(() => false))) await systemClock.sleep(50);
  };
  await retry('/registry/kill/b');
  await retry('/registry/kill/c');
  // The one that was refused never came: nothing listened when it was sent.
  expect(events(await seen).map(({ key }) => key.split('/').at(-1))).toEqual(['a', 'b', 'c']);
  expect(broken.length).toBeGreaterThan(0);
  await store.close();
});

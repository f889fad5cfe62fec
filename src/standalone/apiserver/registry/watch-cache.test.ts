import { afterEach, expect, test } from 'vitest';
import { virtualClock } from '../../../lib/clock.ts';
import { silentLogger } from '../../../lib/log.ts';
import type { ApiObject } from '../kind.ts';
import { memoryStore } from '../store/memory-store.ts';
import { compactedError, type StoreBatch, type StoreEvent } from '../store/store.ts';
import { decode, encode } from './storage-form.ts';
import { startWatchCache } from './watch-cache.ts';

const storage = 'core/configmaps';
const object = (name: string, text: string) =>
  ({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name }, data: { text } }) as unknown as ApiObject;

let stop = new AbortController();
afterEach(() => stop.abort());

/** A cache over a store whose watch says what the test lets it say. */
async function bench() {
  stop = new AbortController();
  const { signal } = stop;
  const batches: (StoreBatch | 'broken')[] = [];
  let wake: () => void = () => undefined;
  const store = memoryStore();
  const silent = {
    ...store,
    async *watch() {
      while (!signal.aborted) {
        for (let batch = batches.shift(); batch; batch = batches.shift()) {
          if (batch === 'broken') throw compactedError(1, 2);
          yield batch;
        }
        await new Promise<void>((resolve) => (wake = resolve));
      }
    },
  };
  const clock = virtualClock();
  const cache = await startWatchCache({ store: silent, clock, log: silentLogger, signal });
  const of = cache.of(storage);
  const start = cache.revision;
  return {
    cache,
    start,
    /** The store's answer to a write of ours reaches the cache. */
    answered(after: number, name: string, text: string) {
      const written = decode(encode(object(name, text)), start + after);
      cache.committed(start + after, { storage, local: name, object: written });
      return written;
    },
    removed: (after: number, local: string) =>
      cache.committed(start + after, { storage, local, object: undefined }),
    put: (after: number, name: string, text: string): StoreEvent => ({
      type: 'put',
      key: `/registry/${storage}/${name}`,
      value: encode(object(name, text)),
      revision: start + after,
    }),
    /** The watch brings these, and says that it has brought everything up to here. */
    async watched(after: number, ...events: StoreEvent[]) {
      batches.push({ events, revision: start + after });
      wake();
      await clock.advance(0);
    },
    /** The watch has a gap: everything is read again. */
    async broken() {
      batches.push('broken');
      wake();
      await clock.advance(0);
    },
    texts: () => of.snapshot()?.keys.map((key) => (of.get(key) as { data?: { text?: string } }).data?.text),
    events: () => of.read(0, 100)?.map(({ type, key, revision }) => `${type} ${key} ${revision - start}`),
  };
}

test('a write of our own is there when it is answered, and the watch does not bring it once more', async () => {
  const { cache, start, answered, removed, watched, put, texts, events } = await bench();
  const first = answered(1, 'a', 'one');
  expect(cache.revision).toBe(start + 1);
  expect(cache.of(storage).get('a')).toBe(first);
  await cache.fresh(AbortSignal.timeout(1));
  answered(2, 'a', 'two');
  await watched(2, put(1, 'a', 'one'), put(2, 'a', 'two'));
  expect(texts()).toEqual(['two']);
  removed(3, 'a');
  await watched(3, { type: 'delete', key: `/registry/${storage}/a`, revision: start + 3 });
  expect(texts()).toEqual([]);
  expect(events()).toEqual(['ADDED a 1', 'MODIFIED a 2', 'DELETED a 3']);
});

test('answers that overtake each other are taken in as they were written', async () => {
  const { cache, start, answered, events } = await bench();
  answered(3, 'c', 'third');
  answered(2, 'a', 'second');
  expect(events()).toEqual([]);
  const waits = cache.fresh(new AbortController().signal);
  answered(1, 'a', 'first');
  await waits;
  expect(cache.revision).toBe(start + 3);
  expect(events()).toEqual(['ADDED a 1', 'MODIFIED a 2', 'ADDED c 3']);
});

test('behind a write of somebody else ours waits for the watch', async () => {
  const { cache, start, answered, watched, put, texts, events } = await bench();
  answered(2, 'a', 'ours');
  answered(3, 'b', 'ours');
  expect(texts()).toEqual([]);
  await watched(1, put(1, 'a', 'theirs'));
  expect(cache.revision).toBe(start + 3);
  expect(texts()).toEqual(['ours', 'ours']);
  // The watch brings several at once, before the answer of the last one came.
  await watched(5, put(2, 'a', 'ours'), put(4, 'b', 'theirs'), put(5, 'b', 'ours, later'));
  answered(5, 'b', 'ours, later');
  expect(texts()).toEqual(['ours', 'ours, later']);
  expect(events()).toEqual(['ADDED a 1', 'MODIFIED a 2', 'ADDED b 3', 'MODIFIED b 4', 'MODIFIED b 5']);
});

test('what is read again takes nothing back that was answered meanwhile', async () => {
  const { answered, broken, watched, put, texts, events } = await bench();
  answered(1, 'a', 'ours'); // The store's list does not have it yet.
  await broken();
  expect(texts()).toEqual(['ours']);
  await watched(2, put(2, 'b', 'theirs'));
  expect(events()).toEqual(['ADDED a 1', 'ADDED b 2']);
});

import { expect, test } from 'vitest';
import type { ApiObject } from '../kind.ts';
import { kindCache } from './kind-cache.ts';

const object = (name: string, version: number) =>
  ({ metadata: { name, resourceVersion: String(version) } }) as unknown as ApiObject;

test('undoes later changes to show an earlier revision', () => {
  const cache = kindCache(1);
  cache.put('a', object('a', 2), 2);
  cache.put('b', object('b', 3), 3);
  cache.put('a', object('a', 4), 4);
  cache.remove('b', 5);
  const at = (revision: number) => {
    const snapshot = cache.snapshot(revision);
    return snapshot?.keys.map((key) => `${key}@${snapshot.get(key)?.metadata?.resourceVersion}`);
  };
  expect(at(1)).toEqual([]);
  expect(at(3)).toEqual(['a@2', 'b@3']);
  expect(at(4)).toEqual(['a@4', 'b@3']);
  expect(at(5)).toEqual(['a@4']);
  expect(at(0)).toBeUndefined();
});

test('keeps a bounded past: a reader that is too slow is told so, never given a gap', () => {
  const cache = kindCache(0, 10);
  const cursor = cache.cursorNow();
  for (let revision = 1; revision <= 19; revision++) cache.put('a', object('a', revision), revision);
  expect(cache.read(cursor, 100)).toHaveLength(19);
  cache.put('a', object('a', 20), 20);
  expect(cache.read(cursor, 100)).toBeUndefined();
  expect(cache.oldestRevision).toBe(10);
  expect(cache.cursorAfter(9)).toBeUndefined();
  const later = cache.cursorAfter(10) as number;
  expect(cache.read(later, 100)?.map(({ revision }) => revision)).toEqual([
    11, 12, 13, 14, 15, 16, 17, 18, 19, 20,
  ]);
});

test('tells its listeners once a batch, and only of changes', () => {
  const cache = kindCache(0);
  let told = 0;
  const stop = cache.onChange(() => told++);
  cache.put('a', object('a', 1), 1);
  cache.put('b', object('b', 1), 1);
  cache.flush();
  cache.flush();
  expect(told).toBe(1);
  stop();
  cache.remove('a', 2);
  cache.flush();
  expect(told).toBe(1);
  expect(cache.read(2, 10)?.[0]).toMatchObject({
    type: 'DELETED',
    object: { metadata: { resourceVersion: '2' } },
  });
});

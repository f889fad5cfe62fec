import { expect, test } from 'vitest';
import { rfc3339, sameJson, setAt, valueAt } from './json.ts';

test.each([
  [{ a: 1, b: [1, { c: null }] }, { b: [1, { c: null }], a: 1 }, true],
  [{ a: 1 }, { a: 1, b: undefined }, true],
  [{ a: 1 }, { a: 1, b: null }, false],
  [[1, 2], [2, 1], false],
  [[], {}, false],
  ['1', 1, false],
  [{ a: {} }, { a: [] }, false],
])('%j and %j are the same: %s', (a, b, same) => {
  expect(sameJson(a, b)).toBe(same);
  expect(sameJson(b, a)).toBe(same);
});

test('paths with and without a leading dot', () => {
  const object = { spec: { replicas: 3 } };
  expect(valueAt(object, '.spec.replicas')).toBe(3);
  expect(valueAt(object, 'spec.none.deeper')).toBeUndefined();
  setAt(object, '.status.count', 1);
  expect(object).toEqual({ spec: { replicas: 3 }, status: { count: 1 } });
});

test('times are seconds in UTC', () => {
  expect(rfc3339(Date.UTC(2026, 0, 2, 3, 4, 5, 678))).toBe('2026-01-02T03:04:05Z');
});

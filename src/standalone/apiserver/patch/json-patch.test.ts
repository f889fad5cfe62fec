import { applyPatch, createPatch } from 'rfc6902';
import { assert, jsonValue, property } from 'fast-check';
import { expect, test } from 'vitest';
import type { Json } from '../kind.ts';
import { jsonPatch } from './json-patch.ts';

test('a patch between any two documents gives what the oracle gives', () => {
  const document = jsonValue({ maxDepth: 4 });
  assert(
    property(document, document, (a, b) => {
      const patch = createPatch(a, b);
      const oracle = { value: structuredClone(a) };
      // Only paths inside a holder: the oracle cannot replace a document that it was not given a holder of.
      const inside = patch.map((op) => ({ ...op, path: `/value${op.path}` }));
      applyPatch(oracle, inside as never);
      expect(jsonPatch({ value: a as Json }, inside as unknown as Json[])).toEqual(oracle);
    }),
    { seed: 7, numRuns: 200 },
  );
});

test.each([
  [{ op: 'remove', path: '/x' }, /does not exist/],
  [{ op: 'replace', path: '/x', value: 1 }, /does not exist/],
  [{ op: 'add', path: '/list/5', value: 1 }, /invalid index "5"/],
  [{ op: 'add', path: '/list/01', value: 1 }, /invalid index "01"/],
  [{ op: 'test', path: '/a', value: 2 }, /testing value \/a failed/],
  [{ op: 'move', from: '/o', path: '/o/p' }, /into itself/],
  [{ op: 'frob', path: '/a' }, /unexpected operation/],
])('%j is refused', (operation, message) => {
  const doc: Json = { a: 1, list: [1], o: {} };
  expect(() => jsonPatch(doc, [operation as Json])).toThrow(message);
  expect(doc).toEqual({ a: 1, list: [1], o: {} });
});

import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { mergePatchBetween } from './patch.ts';

/** RFC 7386, as the server applies it. */
function applyMerge(target: unknown, patch: unknown): unknown {
  if (typeof patch !== 'object' || patch === null || Array.isArray(patch)) return patch;
  const base = typeof target === 'object' && target !== null && !Array.isArray(target) ? target : {};
  const result: Record<string, unknown> = { ...base };
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) delete result[key];
    else result[key] = applyMerge(result[key], value);
  }
  return result;
}

const leaf = fc.oneof(fc.integer(), fc.string(), fc.boolean(), fc.array(fc.integer(), { maxLength: 3 }));
const tree = fc.letrec((tie) => ({
  node: fc.dictionary(
    fc.constantFrom('a', 'b', 'c', 'd'),
    fc.oneof({ depthSize: 'small' }, leaf, tie('node')),
  ),
})).node;

test('the patch turns the one into the other, and there is none between equals', () => {
  fc.assert(
    fc.property(tree, tree, (from, to) => {
      const patch = mergePatchBetween(from, to);
      expect(applyMerge(from, patch ?? {})).toEqual(to);
      expect(mergePatchBetween(to, structuredClone(to))).toBeUndefined();
    }),
  );
});

test('a field that is undefined is removed, and one that was never there is not sent', () => {
  expect(mergePatchBetween({ a: 1, b: 2 }, { a: 1, b: undefined })).toEqual({ b: null });
  expect(mergePatchBetween({ a: 1 }, { a: 1, b: undefined })).toBeUndefined();
  expect(mergePatchBetween(undefined, { a: { b: undefined, c: 1 } })).toEqual({ a: { c: 1 } });
});

import { expect, test } from 'vitest';
import { cloneJson } from './clone-json.ts';

test('a copy shares nothing with its original and loses no key', () => {
  const original = JSON.parse('{"a":[{"b":null}],"__proto__":{"x":1},"c":{"d":"e"}}') as {
    a: { b: null }[];
    c: object;
  };
  const copy = cloneJson(original);
  expect(JSON.stringify(copy)).toBe(JSON.stringify(original));
  expect(copy.a[0]).not.toBe(original.a[0]);
  expect(Object.keys(copy)).toContain('__proto__');
  expect(({} as { x?: unknown }).x).toBeUndefined();
});

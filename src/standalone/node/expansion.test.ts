import { expect, test } from 'vitest';
import { expand } from './expansion.ts';

const values: Record<string, string> = { A: 'one', B: '$(A)', EMPTY: '' };
const lookup = (name: string) => values[name];

test.each([
  ['plain', 'plain'],
  ['$(A)', 'one'],
  ['x$(A)y$(A)', 'xoneyone'],
  ['$(B)', '$(A)'], // A value is not expanded again.
  ['$(EMPTY)', ''],
  ['$(NONE)', '$(NONE)'],
  ['$$(A)', '$(A)'],
  ['$$$(A)', '$one'],
  ['$A', '$A'],
  ['$(A', '$(A'],
  ['end$', 'end$'],
])('%s becomes %s', (text, wanted) => {
  expect(expand(text, lookup)).toBe(wanted);
});

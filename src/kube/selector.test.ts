import { expect, test } from 'vitest';
import { isLater } from './resource-version.ts';
import { labelsContain, requirementMatches, selectorMatches } from './selector.ts';

test('an absent selector takes nothing, an empty one everything', () => {
  expect([selectorMatches(undefined, { a: '1' }), selectorMatches({}, { a: '1' })]).toEqual([false, true]);
  expect(labelsContain({ a: '1' }, { a: '1', b: '2' })).toBe(true);
  expect(labelsContain({ a: '1' }, { a: '2' })).toBe(false);
});

test.each([
  ['In', ['1', '2'], { a: '1' }, true],
  ['In', ['2'], {}, false],
  ['NotIn', ['1'], { a: '1' }, false],
  ['NotIn', ['1'], {}, true],
  ['Exists', [], { a: '' }, true],
  ['DoesNotExist', [], {}, true],
  ['Gt', ['5'], { a: '10' }, true],
  ['Gt', ['5'], { a: 'ten' }, false],
  ['Lt', ['5'], { a: '4' }, true],
  ['Like', ['1'], { a: '1' }, false],
  ['Exists', [], Object.create({ a: 'inherited' }) as Record<string, string>, false],
] as const)('%s %j on %j is %s', (operator, values, labels, expected) => {
  expect(requirementMatches('a', operator, values, labels)).toBe(expected);
});

test('revisions are compared as numbers of any length', () => {
  expect([
    isLater('10', '9'),
    isLater('9', '10'),
    isLater('9', '9'),
    isLater('x', '1'),
    isLater('1', ''),
  ]).toEqual([true, false, false, false, true]);
  expect(isLater('90071992547409931', '90071992547409930')).toBe(true);
});

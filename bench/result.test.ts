import { describe, expect, test } from 'vitest';
import { formatTable, judge, median } from './result.ts';

describe('judge', () => {
  test('a budget of times is held against the ratio', () => {
    const at = (figure: number) =>
      judge({ name: 'create', floor: 10, figure, unit: 'ms', budget: { times: 2 } });
    expect(at(20)).toEqual({
      name: 'create',
      floor: 10,
      figure: 20,
      unit: 'ms',
      ratio: 2,
      budget: 2,
      met: true,
    });
    expect(at(20.3)).toMatchObject({ ratio: 2.03, met: false });
  });

  test('an amount is held against the figure, whatever the ratio', () => {
    const at = (figure: number) =>
      judge({ name: 'up', floor: 100, figure, unit: 'ms', budget: { most: 2000 } });
    expect(at(2000)).toMatchObject({ ratio: 20, budget: '2000 ms', met: true });
    expect(at(2001)).toMatchObject({ met: false });
  });

  test('without a floor there is no ratio', () => {
    expect(judge({ name: 'idle', figure: 310, unit: 'MB', budget: { most: 300 } })).toMatchObject({
      floor: null,
      ratio: null,
      budget: '300 MB',
      met: false,
    });
  });

  test('what is no measure is refused, never met', () => {
    const budget = { times: 2 };
    expect(() => judge({ name: 'a', floor: 0, figure: 1, unit: 'ms', budget })).toThrow('no measure');
    expect(() => judge({ name: 'a', floor: Number.NaN, figure: 1, unit: 'ms', budget })).toThrow(
      'no measure',
    );
    expect(() => judge({ name: 'a', floor: 1, figure: Number.NaN, unit: 'ms', budget })).toThrow(
      'no measure',
    );
    expect(() => judge({ name: 'a', figure: 1, unit: 'ms', budget })).toThrow('no floor');
  });
});

test('median', () => {
  expect(median([3, 1, 2])).toBe(2);
  expect(median([4, 1, 3, 2])).toBe(2.5);
  expect(median([])).toBeNaN();
});

test('a table names what was missed', () => {
  const rows = [
    judge({ name: 'create', floor: 10, figure: 25, unit: 'ms', budget: { times: 2 } }),
    judge({ name: 'idle', figure: 200, unit: 'MB', budget: { most: 300 } }),
  ];
  expect(formatTable(rows).split('\n')).toEqual([
    'measure  floor  figure  unit  ratio  budget',
    'create      10      25  ms     2.5x      2x  MISSED',
    'idle         -     200  MB        -  300 MB  met',
  ]);
});

import { expect, test } from 'vitest';
import { partitionPoint } from './partition-point.ts';

test('the first item that is not done, or the end', () => {
  for (let length = 0; length < 10; length++)
    for (let point = 0; point <= length; point++) {
      const items = Array.from({ length }, (_, at) => at);
      expect(partitionPoint(items, (item) => item < point)).toBe(point);
    }
});

import { expect, test } from 'vitest';
import { blockMajors, deviceDenials } from './device-guard.ts';

test('only block drivers count, each major once', () => {
  const devices =
    'Character devices:\n  1 mem\n 10 misc\n\nBlock devices:\n  7 loop\n  8 sd\n 65 sd\n  8 sd\n259 blkext\n';
  expect(blockMajors(devices)).toEqual([7, 8, 65, 259]);
  expect(blockMajors('Character devices:\n  1 mem\n')).toEqual([]);
});

test("a node is let to its own loops, to no other's and to nothing that hands out more", async () => {
  const rules = await deviceDenials(new Set([3, 2000]));
  expect(rules).toContain('b 7:2 rw');
  expect(rules).not.toContain('b 7:3 rw');
  expect(rules).not.toContain('b 7:2000 rw');
  expect(rules).toContain('c 10:237 rw');
  // runc makes device files for every container, so making is never denied; 7 as a whole would deny the node's own.
  expect(rules.filter((rule) => !/^[bc] \d+:(\d+|\*) rw$/.test(rule) || rule === 'b 7:* rw')).toEqual([]);
});

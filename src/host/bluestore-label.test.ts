import { expect, test } from 'vitest';
import { bluestoreLabelBlock } from '../../test/support/bluestore-label-block.ts';
import { parseBluestoreLabel } from './bluestore-label.ts';

const uuid = '49595b38-15b2-4cbc-83c5-54dd322dcea7';
const block = bluestoreLabelBlock(uuid, { bluefs: '1', ceph_fsid: 'f-1', osd_key: 'not-a-key', whoami: '3' });

test('a label says whose OSD it is, and how large', () => {
  const label = parseBluestoreLabel(block);
  expect(label).toMatchObject({ osdUuid: uuid, sizeBytes: 10n * 1024n ** 3n, description: 'main' });
  expect(label?.meta.get('ceph_fsid')).toBe('f-1');
  expect(label?.meta.get('whoami')).toBe('3');
});

test('a damaged label is no label, and other data is none', () => {
  for (const bytes of [60, 83, 110, 120])
    expect(parseBluestoreLabel(block.subarray(0, bytes))).toBeUndefined();
  const huge = Buffer.from(block);
  huge.writeUInt32LE(0xffffffff, 23 + 37 + 6 + 16 + 8 + 8);
  expect(parseBluestoreLabel(huge)).toBeUndefined();
  expect(parseBluestoreLabel(Buffer.alloc(0))).toBeUndefined();
  expect(parseBluestoreLabel(Buffer.alloc(4096))).toBeUndefined();
  expect(parseBluestoreLabel(Buffer.from('bluestore'))).toBeUndefined();
});

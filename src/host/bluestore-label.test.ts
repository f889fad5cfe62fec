import { expect, test } from 'vitest';
import { parseBluestoreOwner } from './bluestore-label.ts';

const uuid = '49595b38-15b2-4cbc-83c5-54dd322dcea7';

/** A label as BlueStore writes it. */
function label(meta: Readonly<Record<string, string>>, bytes = 4096): Buffer {
  const text = (value: string) => {
    const length = Buffer.alloc(4);
    length.writeUInt32LE(value.length);
    return Buffer.concat([length, Buffer.from(value)]);
  };
  const count = Buffer.alloc(4);
  count.writeUInt32LE(Object.keys(meta).length);
  const body = Buffer.concat([
    Buffer.from(`bluestore block device\n${uuid}\n`),
    Buffer.from([2, 1, 0, 2, 0, 0]),
    Buffer.from(uuid.replaceAll('-', ''), 'hex'),
    Buffer.alloc(16),
    text('main'),
    count,
    ...Object.entries(meta).flatMap(([key, value]) => [text(key), text(value)]),
  ]);
  const block = Buffer.alloc(4096);
  body.copy(block);
  return block.subarray(0, bytes);
}

test('whose OSD it is', () => {
  const meta = { bluefs: '1', ceph_fsid: 'f-1', osd_key: 'secret', whoami: '3' };
  const owner = parseBluestoreOwner(label(meta));
  expect(owner).toEqual({ osdUuid: uuid, cephFsid: 'f-1', whoami: '3' });
});

test('a damaged label still is one; other data is none', () => {
  expect(parseBluestoreOwner(label({ ceph_fsid: 'f-1' }, 110))).toEqual({
    osdUuid: uuid,
    cephFsid: undefined,
    whoami: undefined,
  });
  expect(parseBluestoreOwner(label({}, 60))).toMatchObject({ osdUuid: uuid });
  expect(parseBluestoreOwner(Buffer.alloc(4096))).toBeUndefined();
  expect(parseBluestoreOwner(Buffer.from('bluestore'))).toBeUndefined();
});

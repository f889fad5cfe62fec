const text = (value: string) => {
  const bytes = Buffer.alloc(4 + value.length);
  bytes.writeUInt32LE(value.length);
  bytes.write(value, 4);
  return bytes;
};

/** The first block of a BlueStore device of 10 GiB, as ceph-osd --mkfs writes it (checked against one of 16.2.15). */
export function bluestoreLabelBlock(osdUuid: string, meta: Readonly<Record<string, string>>): Buffer {
  const count = Buffer.alloc(4);
  count.writeUInt32LE(Object.keys(meta).length);
  const body = Buffer.concat([
    Buffer.from(osdUuid.replaceAll('-', ''), 'hex'),
    Buffer.from([0, 0, 0, 128, 2, 0, 0, 0]), // 10 GiB
    Buffer.alloc(8),
    text('main'),
    count,
    ...Object.entries(meta).flatMap(([key, value]) => [text(key), text(value)]),
  ]);
  const header = Buffer.alloc(6);
  header.writeUInt8(2, 0);
  header.writeUInt8(1, 1);
  header.writeUInt32LE(body.length, 2);
  const block = Buffer.alloc(4096);
  Buffer.concat([Buffer.from(`bluestore block device\n${osdUuid}\n`), header, body]).copy(block);
  return block;
}

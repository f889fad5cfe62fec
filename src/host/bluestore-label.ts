import { open } from 'node:fs/promises';

/**
 * The label in the first block of a BlueStore device: a line of text, the OSD’s fsid, then Ceph’s own
 * encoding of size, creation time, description and a map of strings. It holds the OSD’s key.
 */
export interface BluestoreLabel {
  readonly osdUuid: string;
  readonly sizeBytes: bigint;
  /** `main` for a data device, else a WAL or DB device. */
  readonly description: string;
  /** ceph_fsid, whoami, osd_key, ready, mkfs_done and so on. */
  readonly meta: ReadonlyMap<string, string>;
}

const magic = 'bluestore block device\n';
const labelBytes = 4096;
const maxEntries = 1_000;

/** Reads a device’s label, or undefined where it has none. Throws where the device cannot be read. */
export async function readBluestoreLabel(device: string): Promise<BluestoreLabel | undefined> {
  const file = await open(device, 'r');
  try {
    const block = Buffer.alloc(labelBytes);
    const { bytesRead } = await file.read(block, 0, labelBytes, 0);
    return parseBluestoreLabel(block.subarray(0, bytesRead));
  } finally {
    await file.close();
  }
}

/** Parses the first 4 KiB of a device; undefined where that is no label or a damaged one. */
export function parseBluestoreLabel(block: Buffer): BluestoreLabel | undefined {
  if (block.subarray(0, magic.length).toString('latin1') !== magic) return undefined;
  try {
    return decode(block);
  } catch (error) {
    if (error instanceof RangeError) return undefined;
    throw error;
  }
}

function decode(block: Buffer): BluestoreLabel {
  // Text uuid and newline follow the magic; then version, compat and length of Ceph’s encoding.
  let at = magic.length + 36 + 1 + 1 + 1 + 4;
  const take = (bytes: number) => {
    const from = at;
    at += bytes;
    if (at > block.length) throw new RangeError('the label is cut short');
    return from;
  };
  const uuid = block.subarray(take(16), at).toString('hex');
  const sizeBytes = block.readBigUInt64LE(take(8));
  take(8); // creation time
  const text = () => {
    const length = block.readUInt32LE(take(4));
    return block.subarray(take(length), at).toString('utf8');
  };
  const description = text();
  const count = block.readUInt32LE(take(4));
  if (count > maxEntries) throw new RangeError('the label has too many entries');
  const meta = new Map<string, string>();
  for (let index = 0; index < count; index++) {
    const key = text();
    meta.set(key, text());
  }
  const osdUuid = uuid.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
  return { osdUuid, sizeBytes, description, meta };
}

/** What the first 4 KiB of a BlueStore device say about its OSD. The key in them is not read out. */
export interface BluestoreOwner {
  readonly osdUuid: string;
  readonly cephFsid: string | undefined;
  /** The OSD's number. */
  readonly whoami: string | undefined;
}

const magic = 'bluestore block device\n';
// Text: magic, uuid, newline. Then Ceph's encoding: version, compat (u8 each), length (u32), uuid (16 bytes),
// size (u64), time (2 x u32), description (text), and a map of texts, each a u32 length and its bytes.
const encodedAt = magic.length + 36 + 1;
const maxEntries = 1000;

/** Undefined where it is no BlueStore label; only the uuid where the rest is damaged. */
export function parseBluestoreOwner(block: Buffer): BluestoreOwner | undefined {
  if (block.subarray(0, magic.length).toString('latin1') !== magic) return undefined;
  const osdUuid = block.subarray(magic.length, magic.length + 36).toString('latin1');
  let at = encodedAt + 2 + 4 + 16 + 8 + 8;
  const text = () => {
    const length = block.readUInt32LE(at);
    at += 4 + length;
    if (at > block.length) throw new RangeError('the label is cut short');
    return block.subarray(at - length, at).toString('utf8');
  };
  const meta = new Map<string, string>();
  try {
    text(); // `main`, or which part of an OSD it is
    const count = Math.min(block.readUInt32LE(at), maxEntries);
    at += 4;
    for (let entry = 0; entry < count; entry++) {
      const key = text();
      const value = text();
      if (key === 'ceph_fsid' || key === 'whoami') meta.set(key, value);
    }
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
  }
  return { osdUuid, cephFsid: meta.get('ceph_fsid'), whoami: meta.get('whoami') };
}

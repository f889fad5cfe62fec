import { randomBytes } from 'node:crypto';

/**
 * A new cephx secret in the form that keyrings hold: base64 of type (u16, 1 is AES), time (u32 seconds and
 * nanoseconds), length (u16, 16) and 16 random bytes, little-endian. What `ceph-authtool --gen-print-key` prints.
 */
export function newCephxKey(nowMs: number, random: (size: number) => Uint8Array = randomBytes): string {
  const bytes = Buffer.alloc(28);
  bytes.writeUInt16LE(1, 0);
  bytes.writeUInt32LE(Math.floor(nowMs / 1000), 2);
  bytes.writeUInt32LE((nowMs % 1000) * 1_000_000, 6);
  bytes.writeUInt16LE(16, 10);
  bytes.set(random(16), 12);
  return bytes.toString('base64');
}

/** Whether a text has that form. */
export function isCephxKey(text: string): boolean {
  const bytes = Buffer.from(text, 'base64');
  return (
    bytes.toString('base64') === text &&
    bytes.length === 28 &&
    bytes.readUInt16LE(0) === 1 &&
    bytes.readUInt16LE(10) === 16
  );
}

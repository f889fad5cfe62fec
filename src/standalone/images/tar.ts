/** One entry of a tar archive. */
export type TarEntry =
  | { readonly type: 'file'; readonly path: string; readonly mode: number; readonly content: Uint8Array }
  | { readonly type: 'directory'; readonly path: string; readonly mode: number }
  | { readonly type: 'link'; readonly path: string; readonly target: string };

const blockBytes = 512;

/** A ustar archive: root's, without times, so that the same entries give the same bytes. Paths hold 100 bytes at most. */
export function makeTar(entries: readonly TarEntry[]): Buffer {
  const parts: Buffer[] = [];
  for (const entry of entries) {
    parts.push(headerOf(entry));
    if (entry.type !== 'file') continue;
    parts.push(Buffer.from(entry.content));
    const over = entry.content.length % blockBytes;
    if (over > 0) parts.push(Buffer.alloc(blockBytes - over));
  }
  parts.push(Buffer.alloc(2 * blockBytes));
  return Buffer.concat(parts);
}

function headerOf(entry: TarEntry): Buffer {
  const path = entry.type === 'directory' && !entry.path.endsWith('/') ? `${entry.path}/` : entry.path;
  if (Buffer.byteLength(path) > 100) throw new RangeError(`${path} is too long for a tar entry`);
  const header = Buffer.alloc(blockBytes);
  const octal = (value: number, bytes: number) => `${value.toString(8).padStart(bytes - 1, '0')}\0`;
  header.write(path, 0);
  header.write(octal(entry.type === 'link' ? 0o777 : entry.mode, 8), 100);
  header.write(octal(0, 8), 108);
  header.write(octal(0, 8), 116);
  header.write(octal(entry.type === 'file' ? entry.content.length : 0, 12), 124);
  header.write(octal(0, 12), 136);
  header.write('        ', 148); // The checksum counts itself as blanks.
  header.write({ file: '0', link: '2', directory: '5' }[entry.type], 156);
  if (entry.type === 'link') header.write(entry.target, 157);
  header.write('ustar\u000000', 257);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
  return header;
}

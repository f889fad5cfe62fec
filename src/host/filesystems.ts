import { withDeadline } from '../lib/deadline.ts';
import { isCommandError } from '../lib/run-command.ts';
import { blockSize } from './loops.ts';
import type { HostTools } from './tools.ts';

/** What a device holds. `unreadable` is never taken for `blank`. */
export type DeviceContent =
  | {
      readonly kind: 'signature';
      readonly type: string;
      readonly usage: string;
      readonly uuid: string | undefined;
    }
  /** No signature, and the first and the last MiB are zeros. */
  | { readonly kind: 'blank' }
  /** No signature that blkid knows, yet something is written there. */
  | { readonly kind: 'unknown-data'; readonly where: 'first MiB' | 'last MiB' }
  | { readonly kind: 'unreadable'; readonly reason: string };

export const filesystemTypes = ['ext4', 'xfs'] as const;
export type FilesystemType = (typeof filesystemTypes)[number];
export const isFilesystemType = (name: string): name is FilesystemType =>
  (filesystemTypes as readonly string[]).includes(name);

/** The device holds something else than what was asked for, or cannot be read; nothing was written. */
export class ContentError extends Error {
  readonly code = 'DEVICE_NOT_BLANK';
  readonly device: string;
  readonly content: DeviceContent;

  constructor(device: string, content: DeviceContent, wanted: string) {
    super(`${device} is not formatted with ${wanted}: ${describe(content)}`);
    this.name = 'ContentError';
    this.device = device;
    this.content = content;
  }
}

export const isContentError = (error: unknown): error is ContentError => error instanceof ContentError;

/** For messages: `it holds ext4 (UUID ...)`. */
export function describe(content: DeviceContent): string {
  switch (content.kind) {
    case 'signature':
      return `it holds ${content.type}${content.uuid ? ` (UUID ${content.uuid})` : ''}`;
    case 'blank':
      return 'it is blank';
    case 'unknown-data':
      return `no known signature, but the ${content.where} is not zero`;
    case 'unreadable':
      return `it cannot be read: ${content.reason}`;
  }
}

export interface Filesystems {
  probe(device: string, signal: AbortSignal): Promise<DeviceContent>;
  /**
   * Makes sure that the device has this filesystem: one that is there is kept; a blank device is formatted;
   * anything else throws ContentError and is left alone. Says which of the two it was.
   */
  ensure(device: string, type: FilesystemType, signal: AbortSignal): Promise<'existing' | 'made'>;
  /** Grows the filesystem to its device's size; `mountPoint` is where it is mounted now. */
  grow(device: string, type: FilesystemType, mountPoint: string, signal: AbortSignal): Promise<void>;
}

const mib = 1024 * 1024;
const probeLimitMs = 30_000;
const nothingFound = 2;

export function hostFilesystems(tools: HostTools): Filesystems {
  const probe = (device: string, signal: AbortSignal): Promise<DeviceContent> =>
    // A device whose storage is gone keeps its reader in the kernel, unkillable; we leave after the limit.
    withDeadline(`probe of ${device}`, probeLimitMs, signal, (limited) =>
      probeNow(tools, device, limited),
    ).catch((error: unknown) => {
      signal.throwIfAborted();
      return { kind: 'unreadable', reason: error instanceof Error ? error.message : String(error) };
    });
  return {
    probe,
    async ensure(device, type, signal) {
      const content = await probe(device, signal);
      if (content.kind === 'signature' && content.type === type) return 'existing';
      if (content.kind !== 'blank') throw new ContentError(device, content, type);
      await tools.run(`mkfs.${type}`, [...mkfsOptions[type], device], {
        signal,
        timeoutMs: 300_000,
      });
      // mkfs syncs before it says that all went well, and the mount that follows reads what it wrote.
      return 'made';
    },
    async grow(device, type, mountPoint, signal) {
      if (type === 'xfs') await tools.run('xfs_growfs', ['-d', mountPoint], { signal, timeoutMs: 120_000 });
      else await growExt4(tools, device, signal);
    },
  };
}

async function growExt4(tools: HostTools, device: string, signal: AbortSignal): Promise<void> {
  try {
    await tools.run('resize2fs', [device], { signal, timeoutMs: 120_000 });
  } catch (error) {
    if (!isCommandError(error) || !error.stderr.includes('Permission denied to resize')) throw error;
    const why = 'ext4 grows while it is mounted only with CAP_SYS_RESOURCE, which root lacks on this machine';
    throw new Error(`${why}; xfs grows without it`, { cause: error });
  }
}

// No discard: a new image has nothing to discard, and it takes seconds. reflink=0 halves what an empty xfs costs.
const mkfsOptions: Readonly<Record<FilesystemType, readonly string[]>> = {
  xfs: ['-q', '-K', '-m', 'reflink=0'],
  ext4: ['-q', '-F', '-E', 'nodiscard', '-m', '0'],
};

async function probeNow(tools: HostTools, device: string, signal: AbortSignal): Promise<DeviceContent> {
  const size = await blockSize(device);
  // blkid is believed only where all was read: it answers `nothing found` for a device that it could not read.
  const [first, last, signature] = await Promise.all([
    readZeros(tools, device, 0n, size, signal),
    readZeros(tools, device, size > BigInt(mib) ? size - BigInt(mib) : 0n, size, signal),
    readSignature(tools, device, signal),
  ]);
  if (signature) return signature;
  if (!first) return { kind: 'unknown-data', where: 'first MiB' };
  if (!last) return { kind: 'unknown-data', where: 'last MiB' };
  return { kind: 'blank' };
}

/** Whether a MiB is all zeros. Throws where it cannot be read in full. */
async function readZeros(
  tools: HostTools,
  device: string,
  offset: bigint,
  size: bigint,
  signal: AbortSignal,
): Promise<boolean> {
  const wanted = Number(size - offset < BigInt(mib) ? size - offset : BigInt(mib));
  const { stdout } = await tools.run(
    'dd',
    [
      `if=${device}`,
      'bs=65536',
      `skip=${offset}`,
      `count=${wanted}`,
      'iflag=skip_bytes,count_bytes,fullblock',
      'status=none',
    ],
    { signal, timeoutMs: probeLimitMs },
  );
  if (/[^\0]/.test(stdout)) return false;
  if (stdout.length !== wanted) throw new Error(`read ${stdout.length} of ${wanted} bytes at ${offset}`);
  return true;
}

/** `blkid -p` looks at the device itself, never at its cache. Ambivalent signatures (exit 8) count as one. */
async function readSignature(
  tools: HostTools,
  device: string,
  signal: AbortSignal,
): Promise<DeviceContent | undefined> {
  try {
    const { stdout } = await tools.run('blkid', ['-p', '-o', 'export', '--', device], { signal });
    const fields = new Map(
      stdout
        .split('\n')
        .filter((line) => line.includes('='))
        .map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)] as const),
    );
    const type = fields.get('TYPE') ?? fields.get('PTTYPE');
    if (type === undefined) return undefined;
    const usage = fields.get('USAGE') ?? (fields.has('PTTYPE') ? 'partition table' : 'other');
    return { kind: 'signature', type, usage, uuid: fields.get('UUID') ?? fields.get('PTUUID') };
  } catch (error) {
    if (!isCommandError(error)) throw error;
    if (error.exitCode === nothingFound) return undefined;
    if (error.exitCode === 8)
      return { kind: 'signature', type: 'several signatures', usage: 'ambivalent', uuid: undefined };
    throw error;
  }
}

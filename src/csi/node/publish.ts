import { mkdir, open, rm, rmdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import { mountAt, type MountEntry, type Mounts } from '../../host/mounts.ts';
import { Code, RpcError } from '../../lib/grpc.ts';
import type { Device } from '../mounter/protocol.ts';

export interface PublishRequest {
  readonly stagingPath: string;
  readonly target: string;
  readonly readOnly: boolean;
  /** Refused where another target has it: ReadWriteOncePod. */
  readonly single: boolean;
}

/** Binds the staged filesystem to a pod's path. The target is made here, and removed by unpublish. */
export async function publishMount(
  request: PublishRequest,
  mounts: Mounts,
  signal: AbortSignal,
): Promise<void> {
  const { stagingPath, target, readOnly, single } = request;
  const table = await mounts.list();
  const source = mountAt(table, stagingPath);
  if (!source) throw new RpcError(Code.FAILED_PRECONDITION, `the volume is not staged at ${stagingPath}`);
  const there = mountAt(table, target);
  if (there) {
    if (!isSame(there, source))
      throw new RpcError(Code.INTERNAL, `${target} is already a mount of something else`);
    if (there.options.includes('ro') !== readOnly)
      throw new RpcError(
        Code.ALREADY_EXISTS,
        `${target} has the volume already, ${readOnly ? 'for writing' : 'read-only'}`,
      );
    return;
  }
  // A subPath of the same pod is a mount of the same device, too, but of a part of it.
  const other = table.find(
    (entry) => isSame(entry, source) && entry.root === source.root && entry.mountPoint !== stagingPath,
  );
  if (single && other)
    throw new RpcError(
      Code.FAILED_PRECONDITION,
      `a single pod may have the volume, and ${other.mountPoint} does`,
    );
  await mkdir(target, { recursive: true, mode: 0o750 });
  await mounts.bind({ source: stagingPath, target, readOnly }, signal);
}

const isSame = (a: MountEntry, b: MountEntry) => a.major === b.major && a.minor === b.minor;

/** Binds the device itself onto a file. */
export async function publishDevice(
  device: Device,
  { target, readOnly }: PublishRequest,
  mounts: Mounts,
  signal: AbortSignal,
): Promise<void> {
  if (mountAt(await mounts.list(), target)) return;
  await mkdir(dirname(target), { recursive: true, mode: 0o750 });
  await (await open(target, 'a', 0o600)).close();
  await mounts.bind({ source: device.device, target, readOnly }, signal);
}

/** Takes away every mount at the target, then the target itself: an empty folder or a file, nothing else. */
export async function unpublish(target: string, mounts: Mounts, signal: AbortSignal): Promise<void> {
  for (let turn = 0; turn < 8 && mountAt(await mounts.list(), target); turn++)
    await mounts.unmount(target, {}, signal);
  if (mountAt(await mounts.list(), target)) throw new RpcError(Code.INTERNAL, `${target} is still mounted`);
  try {
    await rmdir(target); // Never recursive: what is in it would be somebody's data.
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === 'ENOENT') return;
    if (code !== 'ENOTDIR') throw error;
    await rm(target);
  }
}

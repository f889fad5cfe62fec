import { lstat, readdir, rm, rmdir, unlink } from 'node:fs/promises';
import { join, resolve, sep } from 'node:path';
import { mountPointsWithin } from './mount-table.ts';

/** Refused, for something is still mounted there: deleting through a mount would destroy its data. */
export class StillMountedError extends Error {
  readonly code = 'STILL_MOUNTED';
  readonly mountPoint: string;

  constructor(path: string, mountPoint: string) {
    super(`${path} is kept: ${mountPoint} is still mounted`);
    this.name = 'StillMountedError';
    this.mountPoint = mountPoint;
  }
}

/**
 * Removes a folder of ours with what is in it. Refuses where anything is mounted at or below it, never
 * follows a symlink, and never leaves the filesystem that the folder is on.
 */
export async function removeTree(path: string, within: string): Promise<void> {
  const root = resolve(within);
  const target = resolve(path);
  if (!target.startsWith(root + sep)) throw new Error(`${target} is not below ${root}`);
  const [mounted] = await mountPointsWithin(target);
  if (mounted !== undefined) throw new StillMountedError(target, mounted);
  const entry = await lstat(target).catch(ignoreMissing);
  if (!entry) return;
  if (!entry.isDirectory()) return await unlink(target);
  await removeFolder(target, entry.dev);
}

async function removeFolder(path: string, device: number): Promise<void> {
  for (const entry of await readdir(path, { withFileTypes: true })) {
    const child = join(path, entry.name);
    if (!entry.isDirectory()) {
      await rm(child, { force: true });
      continue;
    }
    const status = await lstat(child).catch(ignoreMissing);
    if (!status) continue;
    // Mounted since we looked: stop, with nothing of it touched.
    if (status.dev !== device) throw new StillMountedError(path, child);
    await removeFolder(child, device);
  }
  await rmdir(path);
}

export function ignoreMissing(error: unknown): undefined {
  if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
  throw error;
}

/** Names in a folder, none where there is no folder. */
export const namesIn = async (path: string): Promise<string[]> =>
  (await readdir(path).catch(ignoreMissing)) ?? [];

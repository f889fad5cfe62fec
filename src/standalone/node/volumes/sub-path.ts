import { constants } from 'node:fs';
import { mkdir, open, realpath, writeFile, type FileHandle } from 'node:fs/promises';
import { dirname, join, relative, sep } from 'node:path';
import { isMountPoint, mountFilesystem } from './mount-table.ts';
import { ignoreMissing } from './safe-remove.ts';

const oPath = 0o10000000; // O_PATH: a handle that names a file and opens nothing.

/** True where a subPath stays inside its volume by its text. */
export function isLocalPath(path: string): boolean {
  return !path.startsWith('/') && !path.split('/').includes('..');
}

/**
 * Binds `subPath` of a volume to `target`, making the folder where it is missing. A container that owns
 * the volume may swap folders for symlinks while we look, so each part is opened from its parent's
 * handle without following links, and the bind is made from the last handle.
 */
export async function bindSubPath(
  volume: string,
  subPath: string,
  target: string,
  signal: AbortSignal,
): Promise<void> {
  if (!isLocalPath(subPath)) throw new Error(`must not contain '..' or be absolute: ${subPath}`);
  if (await isMountPoint(target)) return;
  const base = await realpath(volume);
  const handle = await openWithin(base, subPath);
  try {
    const isFolder = (await handle.stat()).isDirectory();
    if (isFolder) await mkdir(target, { recursive: true, mode: 0o755 });
    else {
      await mkdir(dirname(target), { recursive: true, mode: 0o755 });
      await writeFile(target, '', { flag: 'a' });
    }
    const source = `/proc/${process.pid}/fd/${handle.fd}`;
    await mountFilesystem(['--no-canonicalize', '--bind', source, target], signal);
  } finally {
    await handle.close();
  }
}

/** Links inside the volume are allowed (`..data` is one), as long as where they end is inside too. */
async function openWithin(base: string, subPath: string): Promise<FileHandle> {
  const wanted = join(base, subPath);
  const existing = await realpath(wanted).catch(ignoreMissing);
  const goal = existing ?? wanted;
  if (goal !== base && !goal.startsWith(base + sep))
    throw new Error(`subPath ${subPath} leads out of the volume`);
  const parts = relative(base, goal)
    .split(sep)
    .filter((part) => part !== '');
  let handle = await open(base, constants.O_DIRECTORY | constants.O_NOFOLLOW | oPath);
  try {
    for (const part of parts) {
      const child = `/proc/self/fd/${handle.fd}/${part}`;
      if (!existing) await mkdir(child, { mode: 0o755 }).catch(ignoreExisting);
      const next = await open(child, constants.O_NOFOLLOW | oPath);
      await handle.close();
      handle = next;
      if ((await handle.stat()).isSymbolicLink())
        throw new Error(`subPath ${subPath} changed while it was opened`);
    }
    return handle;
  } catch (error) {
    await handle.close();
    throw error;
  }
}

function ignoreExisting(error: unknown): void {
  if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
}

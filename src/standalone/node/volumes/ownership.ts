import { lchown, lstat, opendir, chmod } from 'node:fs/promises';
import { join } from 'node:path';

export interface FsGroup {
  readonly gid: number;
  readonly readOnly: boolean;
  /** Leave a tree alone whose top already is right. */
  readonly onRootMismatch: boolean;
}

const setgid = 0o2000;

/**
 * Gives a volume to a group: every file's group, read and write for it, and setgid folders so that
 * new files belong to it too. Symlinks are re-owned, never followed.
 */
export async function applyFsGroup(root: string, group: FsGroup, signal: AbortSignal): Promise<void> {
  const top = await lstat(root);
  const fileBits = group.readOnly ? 0o440 : 0o660;
  const folderBits = fileBits | 0o110 | setgid;
  if (group.onRootMismatch && top.gid === group.gid && (top.mode & folderBits) === folderBits) return;
  await apply(root);

  async function apply(path: string): Promise<void> {
    signal.throwIfAborted();
    const status = await lstat(path);
    if (status.isDirectory()) {
      // The folder itself comes last: a walk that was cut short is then seen by OnRootMismatch.
      for await (const entry of await opendir(path)) await apply(join(path, entry.name));
    }
    await lchown(path, status.uid, group.gid);
    if (status.isSymbolicLink()) return;
    const bits = status.isDirectory() ? folderBits : fileBits;
    await chmod(path, (status.mode & 0o7777) | bits);
  }
}

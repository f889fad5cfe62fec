import { readFile } from 'node:fs/promises';
import { isCommandError, runCommand } from '../../../lib/run-command.ts';

export interface MountEntry {
  readonly mountPoint: string;
  readonly fsType: string;
  readonly source: string;
  /** Path inside the mounted filesystem: says which folder a bind shows. */
  readonly root: string;
}

const unescape = (text: string): string =>
  text.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));

/** Reads /proc/PID/mountinfo's format. */
export function parseMountInfo(text: string): MountEntry[] {
  return text.split('\n').flatMap((line) => {
    const [before, after] = line.split(' - ');
    const fields = before?.split(' ') ?? [];
    const [fsType = '', source = ''] = after?.split(' ') ?? [];
    const [root, mountPoint] = [fields[3], fields[4]];
    if (root === undefined || mountPoint === undefined) return [];
    return [{ mountPoint: unescape(mountPoint), fsType, source: unescape(source), root: unescape(root) }];
  });
}

export async function readMountTable(): Promise<MountEntry[]> {
  return parseMountInfo(await readFile('/proc/self/mountinfo', 'utf8'));
}

export const isMountPoint = async (path: string): Promise<boolean> =>
  (await readMountTable()).some((entry) => entry.mountPoint === path);

/** Mount points at or below `path`, the deepest and newest first: the order to unmount in. */
export async function mountPointsWithin(path: string): Promise<string[]> {
  const below = `${path}/`;
  return (await readMountTable())
    .map((entry) => entry.mountPoint)
    .filter((point) => point === path || point.startsWith(below))
    .reverse();
}

const mountMs = 30_000;

/** Mounts by mount(8): a hung filesystem then hangs a child, not the node process. */
export async function mountFilesystem(args: readonly string[], signal: AbortSignal): Promise<void> {
  await runCommand('mount', args, { signal, timeoutMs: mountMs });
}

/** Unmounts once; what is not mounted any more is fine. */
export async function unmountPath(path: string, signal: AbortSignal): Promise<void> {
  try {
    await runCommand('umount', ['--no-canonicalize', path], { signal, timeoutMs: mountMs });
  } catch (error) {
    if (isCommandError(error) && !(await isMountPoint(path))) return;
    throw error;
  }
}

import { constants } from 'node:fs';
import { open, readFile, readlink } from 'node:fs/promises';
import type { HostTools } from './tools.ts';

/** One line of /proc/self/mountinfo (proc_pid_mountinfo(5)). */
export interface MountEntry {
  readonly id: number;
  readonly parentId: number;
  readonly major: number;
  readonly minor: number;
  /** The path within the filesystem that is the root of this mount; `/` unless it is a bind of a part. */
  readonly root: string;
  readonly mountPoint: string;
  readonly options: readonly string[];
  /** `shared:1`, `master:2` and the like. */
  readonly propagation: readonly string[];
  readonly fsType: string;
  readonly source: string;
  readonly superOptions: readonly string[];
}

/** `\040` is how the kernel writes a space, and so for tab, newline and backslash. */
const unescape = (text: string) =>
  text.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));

export function parseMountInfo(text: string): MountEntry[] {
  const entries: MountEntry[] = [];
  for (const line of text.split('\n')) {
    const [left, right] = line.split(' - ');
    if (left === undefined || right === undefined) continue;
    const [id, parentId, device, root, mountPoint, options, ...propagation] = left.split(' ');
    const [fsType, source, superOptions] = right.split(' ');
    const [major, minor] = (device ?? '').split(':');
    entries.push({
      id: Number(id),
      parentId: Number(parentId),
      major: Number(major),
      minor: Number(minor),
      root: unescape(root ?? ''),
      mountPoint: unescape(mountPoint ?? ''),
      options: (options ?? '').split(','),
      propagation,
      fsType: fsType ?? '',
      source: unescape(source ?? ''),
      superOptions: (superOptions ?? '').split(','),
    });
  }
  return entries;
}

/** The topmost mount at exactly this path, undefined where it is no mount point. */
export const mountAt = (mounts: readonly MountEntry[], path: string): MountEntry | undefined =>
  mounts.findLast((entry) => entry.mountPoint === path);

export const mountsOfDevice = (
  mounts: readonly MountEntry[],
  device: { readonly major: number; readonly minor: number },
): MountEntry[] => mounts.filter((entry) => entry.major === device.major && entry.minor === device.minor);

/** A path with a symlink in it: whoever can write there could send us elsewhere. */
export class SymlinkError extends Error {
  readonly code = 'SYMLINK_IN_PATH';
  readonly path: string;
  readonly real: string;

  constructor(path: string, real: string) {
    super(`${path} is or leads through a symbolic link (${real}), which is refused in a path on the node`);
    this.name = 'SymlinkError';
    this.path = path;
    this.real = real;
  }
}

const pathOnly = 0x200000; // O_PATH, which node does not name.

/**
 * Pins a path without following a symlink in any component, and hands out a name for exactly that file
 * (/proc/PID/fd/N), which nobody can exchange in between. Throws SymlinkError.
 */
export async function withPinnedPath<T>(path: string, body: (pinned: string) => Promise<T>): Promise<T> {
  const file = await open(path, constants.O_NOFOLLOW | pathOnly);
  try {
    const pinned = `/proc/${process.pid}/fd/${file.fd}`;
    const real = await readlink(pinned);
    // O_PATH opens a symlink at the end of the path as itself, so that is looked at apart.
    if (real !== path || (await file.stat()).isSymbolicLink()) throw new SymlinkError(path, real);
    return await body(pinned);
  } finally {
    await file.close();
  }
}

export interface Mounts {
  list(): Promise<MountEntry[]>;
  /** Mounts a device. The target must exist, and have no symlink in its path. */
  mount(
    request: {
      readonly source: string;
      readonly target: string;
      readonly fsType: string;
      readonly options?: readonly string[];
    },
    signal: AbortSignal,
  ): Promise<void>;
  /** Binds `source` onto `target`; both pinned against symlinks. `readOnly` makes the bind read-only. */
  bind(
    request: { readonly source: string; readonly target: string; readonly readOnly?: boolean },
    signal: AbortSignal,
  ): Promise<void>;
  /**
   * Takes away the topmost mount at `target`; one that is no mount point is no error: false. EBUSY is a
   * CommandError, unless `lazy` cuts it loose.
   */
  unmount(target: string, options: { readonly lazy?: boolean }, signal: AbortSignal): Promise<boolean>;
}

export function hostMounts(tools: HostTools): Mounts {
  const list = async () => parseMountInfo(await readFile('/proc/self/mountinfo', 'utf8'));
  return {
    list,
    mount: ({ source, target, fsType, options = [] }, signal) =>
      withPinnedPath(target, async (pinned) => {
        const extra = options.length > 0 ? ['-o', options.join(',')] : [];
        await tools.run('mount', ['--no-canonicalize', '-t', fsType, ...extra, '--', source, pinned], {
          signal,
        });
      }),
    bind: ({ source, target, readOnly = false }, signal) =>
      withPinnedPath(source, (from) =>
        withPinnedPath(target, async (to) => {
          await tools.run('mount', ['--no-canonicalize', '--bind', '--', from, to], { signal });
          // The kernel ignores `ro` on a bind; it takes a remount, which must name the path as the mount has it.
          if (readOnly)
            await tools.run('mount', ['--no-canonicalize', '-o', 'remount,bind,ro', '--', target], {
              signal,
            });
        }),
      ),
    async unmount(target, { lazy = false }, signal) {
      // The kernel's own list holds no symlinks: a path found there is the mount itself.
      if (!mountAt(await list(), target)) return false;
      await tools.run('umount', ['--no-canonicalize', ...(lazy ? ['--lazy'] : []), '--', target], { signal });
      return true;
    },
  };
}

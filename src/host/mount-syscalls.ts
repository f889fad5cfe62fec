import { loadKoffi } from '../lib/koffi.ts';

/** A system call refused. */
export class SyscallError extends Error {
  readonly code = 'SYSCALL_FAILED';
  readonly errno: number;

  constructor(call: string, errno: number) {
    super(`${call} failed with errno ${errno}`);
    this.name = 'SyscallError';
    this.errno = errno;
  }
}

export const isSyscallError = (error: unknown, errno: number): error is SyscallError =>
  error instanceof SyscallError && error.errno === errno;

export const invalid = 22; // EINVAL

export interface MountAttributes {
  readonly readOnly: boolean;
  readonly noSuid: boolean;
  readonly noDev: boolean;
  readonly noExec: boolean;
}

/** Linux's calls on mounts by descriptor (open_tree(2), move_mount(2), mount_setattr(2)), on the calling thread. */
export interface MountSyscalls {
  /** Gives this thread a root and working directory of its own: setns(2) asks for it in a process with threads. */
  unshareFilesystem(): void;
  enterMountNamespace(fd: number): void;
  /** Pins a path below a folder that counts as its root; a symlink anywhere in it is refused. */
  pinBelow(folder: number, path: string): number;
  /** A copy of the mount at a pinned path, rooted there, that is nowhere mounted yet. */
  cloneMount(fd: number): number;
  /** Sets each of the attributes, and takes the mount out of its peer group. */
  setAttributes(fd: number, attributes: MountAttributes): void;
  /** Takes the mount out of its peer group. */
  makePrivate(fd: number): void;
  /** Puts a copy over the mount at `target`, or under it, where it shows once that one is gone (Linux 6.5). */
  attach(tree: number, target: number, where: 'over' | 'under'): void;
  changeDirectory(fd: number): void;
  /** Cuts the mount at a path loose; what is open on it stays. */
  detachMount(path: string): void;
}

// From Linux's headers. These four have one number on every architecture.
const openTreeCall = 428;
const moveMountCall = 429;
const openat2Call = 437;
const mountSetattrCall = 442;
const emptyPath = 0x1000;
const closeOnExec = 0o2000000;
const pathOnly = 0o10000000;
const newMountNamespace = 0x20000;
const ownFilesystem = 0x200;
const detach = 2;
const noSymlinks = 0x02 | 0x04; // RESOLVE_NO_MAGICLINKS, RESOLVE_NO_SYMLINKS
const inRoot = 0x10;
const privatePropagation = 1n << 18n;
const fromEmptyPath = 0x4;
const toEmptyPath = 0x40;
const beneath = 0x200;

export async function mountSyscalls(): Promise<MountSyscalls> {
  const koffi = await loadKoffi();
  const libc = koffi.load('libc.so.6');
  const checked = (call: string, result: unknown): number => {
    if (Number(result) < 0) throw new SyscallError(call, koffi.errno());
    return Number(result);
  };
  const plain = (name: string, definition: string) => {
    const fn = libc.func(definition);
    return (...args: readonly unknown[]) => checked(name, fn(...args));
  };
  const unshare = plain('unshare', 'int unshare(int flags)');
  const setns = plain('setns', 'int setns(int fd, int kind)');
  const umount = plain('umount2', 'int umount2(const char *target, int flags)');
  const fchdir = plain('fchdir', 'int fchdir(int fd)');
  const syscall = libc.func('long syscall(long number, ...)');
  const call = (name: string, number: number, ...args: readonly (number | Buffer)[]) =>
    checked(
      name,
      syscall(
        number,
        ...args.flatMap((value): unknown[] =>
          typeof value === 'number' ? ['long', value] : ['void *', value],
        ),
      ),
    );
  const text = (value: string) => Buffer.from(`${value}\0`);
  const setattr = (fd: number, set: bigint, clear: bigint) =>
    void call(
      'mount_setattr',
      mountSetattrCall,
      fd,
      text(''),
      emptyPath,
      words(set, clear, privatePropagation, 0n),
      32,
    );
  return {
    unshareFilesystem: () => void unshare(ownFilesystem),
    enterMountNamespace: (fd) => void setns(fd, newMountNamespace),
    pinBelow: (folder, path) =>
      call(
        'openat2',
        openat2Call,
        folder,
        text(path),
        words(BigInt(pathOnly | closeOnExec), 0n, BigInt(noSymlinks | inRoot)),
        24,
      ),
    cloneMount: (fd) => call('open_tree', openTreeCall, fd, text(''), 1 | closeOnExec | emptyPath),
    setAttributes(fd, { readOnly, noSuid, noDev, noExec }) {
      const set = BigInt(+readOnly | (+noSuid << 1) | (+noDev << 2) | (+noExec << 3));
      setattr(fd, set, 0xfn & ~set);
    },
    makePrivate: (fd) => setattr(fd, 0n, 0n),
    attach: (tree, target, where) =>
      void call(
        'move_mount',
        moveMountCall,
        tree,
        text(''),
        target,
        text(''),
        fromEmptyPath | toEmptyPath | (where === 'under' ? beneath : 0),
      ),
    changeDirectory: (fd) => void fchdir(fd),
    detachMount: (path) => void umount(path, detach),
  };
}

/** 64-bit words as the kernel's structures hold them. */
function words(...values: readonly bigint[]): Buffer {
  const bytes = Buffer.alloc(values.length * 8);
  values.forEach((value, at) => bytes.writeBigUInt64LE(value, at * 8));
  return bytes;
}

import { mkdir, open, readFile, readdir, realpath, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { writeFileAtomic } from '../../lib/atomic-file.ts';
import { runCommand } from '../../lib/run-command.ts';
import { runTreePython } from './tree-tools.ts';

/** A node's disk: a sparse file, and the loop device that stands for it. */
export interface LoopDisk {
  readonly file: string;
  /** The loop's number, which is its minor too. */
  readonly index: number;
}

/** Makes `count` sparse files and attaches each to a loop, found again by its file and never by a number. */
export async function attachDisks(
  folder: string,
  count: number,
  sizeBytes: number,
  signal: AbortSignal,
): Promise<LoopDisk[]> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const real = await realpath(folder); // As the kernel names it: a link on the way would hide a loop from us.
  const disks: LoopDisk[] = [];
  for (let number = 1; number <= count; number++) {
    const file = join(real, `disk${number}.img`);
    await makeSparse(file, sizeBytes);
    disks.push({ file, index: (await loopsOf(file))[0] ?? (await attach(file, signal)) });
  }
  return disks;
}

async function makeSparse(file: string, sizeBytes: number): Promise<void> {
  const handle = await open(file, 'a', 0o600);
  try {
    // Only ever longer: a disk that holds data is never cut.
    if ((await handle.stat()).size < sizeBytes) await handle.truncate(sizeBytes);
  } finally {
    await handle.close();
  }
}

async function attach(file: string, signal: AbortSignal): Promise<number> {
  const { stdout } = await runCommand('losetup', ['--find', '--show', file], { signal });
  const index = /^\/dev\/loop(\d+)$/.exec(stdout.trim())?.[1];
  if (index === undefined) throw new Error(`losetup answered ${stdout.trim()} for ${file}`);
  return Number(index);
}

/** Every loop that stands on a file of `folder`, as the kernel has it: also those made inside a node. */
export async function loopsBelow(folder: string): Promise<LoopDisk[]> {
  const real = await realpath(folder).catch(() => folder);
  const found: LoopDisk[] = [];
  for (const index of await knownLoops()) {
    const file = await backingFile(index);
    if (file?.startsWith(`${real}/`)) found.push({ file, index });
  }
  return found;
}

async function loopsOf(file: string): Promise<number[]> {
  const found: number[] = [];
  for (const index of await knownLoops()) if ((await backingFile(index)) === file) found.push(index);
  return found;
}

/** What a loop stands on, or undefined where it is free. */
async function backingFile(index: number): Promise<string | undefined> {
  const text = await readFile(`/sys/block/loop${index}/loop/backing_file`, 'utf8').catch(() => undefined);
  return text?.replace(/\n$/, '');
}

/** Every loop index that this host knows of now. */
export async function knownLoops(): Promise<number[]> {
  const names = await readdir('/sys/block');
  return names.flatMap((name) => {
    const index = /^loop(\d+)$/.exec(name)?.[1];
    return index === undefined ? [] : [Number(index)];
  });
}

/** Frees the loops of a node's disks. One that is still in use goes when its last user does. */
export async function detachDisks(folder: string, signal: AbortSignal): Promise<void> {
  for (const { index } of await loopsBelow(folder)) {
    await runCommand('losetup', ['--detach', `/dev/loop${index}`], { signal }).catch(() => undefined);
  }
}

/**
 * A range of `count` loop indexes that nobody has, from `seed` on: a node's spare loops. An index comes to
 * life when its device file is opened.
 */
async function spareRange(seed: number, count: number): Promise<number> {
  const taken = new Set(await knownLoops());
  const slots = 4096;
  for (let step = 0; step < slots; step++) {
    const base = 1024 + ((seed + step) % slots) * count;
    if (Array.from({ length: count }, (_, offset) => base + offset).every((index) => !taken.has(index)))
      return base;
  }
  throw new Error('no range of free loop devices is left on this machine');
}

const spareFile = (folder: string) => join(folder, 'spare-loops.json');

/** A node's range of spare loops, written down so that whoever takes the node down knows which were its. */
export async function reserveSpareLoops(
  folder: string,
  seed: number,
  count: number,
): Promise<readonly number[]> {
  const base = await spareRange(seed, count);
  const range = Array.from({ length: count }, (_, offset) => base + offset);
  await writeFileAtomic(spareFile(folder), JSON.stringify(range));
  return range;
}

// ioctl(/dev/loop-control, LOOP_CTL_REMOVE, index): no tool of Debian 12 does it. One in use answers EBUSY.
const removeLoops = `
import fcntl, sys
with open('/dev/loop-control') as control:
    for index in sys.argv[1:]:
        try:
            fcntl.ioctl(control, 0x4C81, int(index))
        except OSError:
            pass
`;

/**
 * Frees the spare loops that came to life in a node which has ended, and takes them out of the kernel. A
 * loop that another still has mounted stays until that one lets go.
 */
export async function releaseSpareLoops(folder: string, tree: string, signal: AbortSignal): Promise<void> {
  const text = await readFile(spareFile(folder), 'utf8').catch(() => undefined);
  if (text === undefined) return;
  const known = new Set(await knownLoops());
  const alive = (JSON.parse(text) as number[]).filter((index) => known.has(index));
  for (const index of alive) {
    if ((await backingFile(index)) !== undefined)
      await runCommand('losetup', ['--detach', `/dev/loop${index}`], { signal }).catch(() => undefined);
  }
  if (alive.length > 0) {
    await runTreePython(tree, removeLoops, alive.map(String), { signal });
  }
  await rm(spareFile(folder), { force: true });
}

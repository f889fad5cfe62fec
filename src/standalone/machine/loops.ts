import { mkdir, open, readFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { runCommand } from '../../lib/run-command.ts';

/** A node's disk: a sparse file, and the loop device that stands for it. */
export interface LoopDisk {
  readonly file: string;
  /** The loop's number, which is its minor too. */
  readonly index: number;
}

const loopMajor = 7;

/** Makes `count` sparse files and attaches each to a loop, found again by its file and never by a number. */
export async function attachDisks(
  folder: string,
  count: number,
  sizeBytes: number,
  signal: AbortSignal,
): Promise<LoopDisk[]> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const disks: LoopDisk[] = [];
  for (let number = 1; number <= count; number++) {
    const file = join(folder, `disk${number}.img`);
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
  const found: LoopDisk[] = [];
  for (const name of await readdir('/sys/block')) {
    const index = /^loop(\d+)$/.exec(name)?.[1];
    const file =
      index &&
      (await readFile(`/sys/block/${name}/loop/backing_file`, 'utf8').catch(() => undefined))?.trimEnd();
    if (file && file.startsWith(`${folder}/`)) found.push({ file, index: Number(index) });
  }
  return found;
}

async function loopsOf(file: string): Promise<number[]> {
  const found: number[] = [];
  for (const name of await readdir('/sys/block')) {
    const index = /^loop(\d+)$/.exec(name)?.[1];
    const backing = index && (await readFile(`/sys/block/${name}/loop/backing_file`, 'utf8').catch(() => ''));
    if (backing && backing.trimEnd() === file) found.push(Number(index));
  }
  return found;
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
export async function spareRange(seed: number, count: number): Promise<number> {
  const taken = new Set(await knownLoops());
  const slots = 4096;
  for (let step = 0; step < slots; step++) {
    const base = 1024 + ((seed + step) % slots) * count;
    if (Array.from({ length: count }, (_, offset) => base + offset).every((index) => !taken.has(index)))
      return base;
  }
  throw new Error('no range of free loop devices is left on this machine');
}

const deniedUpTo = 128; // Loops that somebody may yet make; a node's own are let through.

/**
 * What a node's processes may not open: every block device but its own loops. Making device files stays
 * allowed, for the container runtime has to.
 */
export async function deviceDenials(own: ReadonlySet<number>): Promise<string[]> {
  const text = await readFile('/proc/devices', 'utf8');
  const majors = [...(text.split('Block devices:')[1] ?? '').matchAll(/^\s*(\d+) /gm)].map((match) =>
    Number(match[1]),
  );
  const foreign = new Set([
    ...(await knownLoops()),
    ...Array.from({ length: deniedUpTo }, (_, index) => index),
  ]);
  return [
    ...[...new Set(majors)].filter((major) => major !== loopMajor).map((major) => `b ${major}:* rw`),
    ...[...foreign].filter((index) => !own.has(index)).map((index) => `b ${loopMajor}:${index} rw`),
  ];
}

import { readdir, readFile, stat } from 'node:fs/promises';
import { z } from 'zod';
import { isCommandError } from '../lib/run-command.ts';
import type { HostTools } from './tools.ts';

/** The file behind a loop, by what cannot be renamed. */
export interface BackingFile {
  readonly major: number;
  readonly minor: number;
  readonly inode: number;
}

export interface LoopDevice {
  /** /dev/loop3 */
  readonly device: string;
  readonly major: number;
  readonly minor: number;
  readonly backing: BackingFile;
  /** As it was called when it was attached; it may be gone or be another file by now. */
  readonly backingPath: string;
  /** True where the loop goes away with its last user. */
  readonly autoclear: boolean;
  readonly directIo: boolean;
  readonly readOnly: boolean;
}

const flag = z
  .union([z.boolean(), z.string(), z.number()])
  .transform((value) => value === true || Number(value) === 1);
const number = z.union([z.number(), z.string()]).transform(Number);
const ListAnswer = z.object({
  loopdevices: z.array(
    z.object({
      name: z.string(),
      'maj:min': z.string(),
      'back-file': z.string().nullable(),
      // Null where the file went away under the loop, as when the daemon behind it died.
      'back-ino': number.nullable(),
      'back-maj:min': z.string().nullable(),
      autoclear: flag,
      dio: flag,
      ro: flag,
    }),
  ),
});

const numbers = (text: string): [number, number] => {
  const [major, minor] = text.trim().split(':').map(Number);
  return [major ?? -1, minor ?? -1];
};

export function parseLoops(json: string): LoopDevice[] {
  if (json.trim() === '') return []; // losetup prints nothing at all where there is no loop.
  return ListAnswer.parse(JSON.parse(json)).loopdevices.map((loop) => {
    const [major, minor] = numbers(loop['maj:min']);
    const [backMajor, backMinor] = numbers(loop['back-maj:min'] ?? '-1:-1');
    return {
      device: loop.name,
      major,
      minor,
      backing: { major: backMajor, minor: backMinor, inode: loop['back-ino'] ?? -1 },
      backingPath: loop['back-file'] ?? '',
      autoclear: loop.autoclear,
      directIo: loop.dio,
      readOnly: loop.ro,
    };
  });
}

interface DeviceNumbers {
  readonly major: number;
  readonly minor: number;
}

/** Splits a stat's `dev` into the kernel's major and minor number. */
export const deviceNumbers = (dev: number | bigint): DeviceNumbers => {
  const value = BigInt(dev);
  return {
    major: Number(((value >> 8n) & 0xfffn) | ((value >> 32n) & ~0xfffn)),
    minor: Number((value & 0xffn) | ((value >> 12n) & ~0xffn)),
  };
};

export async function backingOf(path: string): Promise<BackingFile> {
  const file = await stat(path, { bigint: true });
  return { ...deviceNumbers(file.dev), inode: Number(file.ino) };
}

export const hasBacking = (loop: LoopDevice, file: BackingFile): boolean =>
  loop.backing.inode === file.inode && loop.backing.major === file.major && loop.backing.minor === file.minor;

export interface Loops {
  list(signal: AbortSignal): Promise<LoopDevice[]>;
  /** Attaches a file to a free loop; the same file twice gives two loops. */
  attach(
    file: string,
    options: {
      readonly directIo: boolean;
      readonly readOnly: boolean;
      /** Only this one will do. */
      readonly device?: string | undefined;
      /** Not these, though they are free. */
      readonly avoid?: ReadonlySet<string>;
    },
    signal: AbortSignal,
  ): Promise<LoopDevice>;
  /** Of a loop in use it sets autoclear: it goes away with its last user. */
  detach(loop: Pick<LoopDevice, 'device'>, signal: AbortSignal): Promise<void>;
  /** Lets the loop look at its file's size again. */
  setCapacity(loop: Pick<LoopDevice, 'device'>, signal: AbortSignal): Promise<void>;
  sizeBytes(loop: Pick<LoopDevice, 'device'>): Promise<bigint>;
  /** The kernel's number of the device's present use, another one each time it gets a file (Linux 5.15). */
  sequence(loop: Pick<LoopDevice, 'major' | 'minor'>): Promise<string | undefined>;
}

const columns = 'NAME,MAJ:MIN,BACK-FILE,BACK-INO,BACK-MAJ:MIN,AUTOCLEAR,DIO,RO';
const maxTries = 64;

export function hostLoops(tools: HostTools, { dev = '/dev', sys = '/sys' } = {}): Loops {
  const list = async (signal: AbortSignal) =>
    parseLoops((await tools.run('losetup', ['--list', '--json', '--output', columns], { signal })).stdout);

  // The kernel's `next free loop` is one of the whole machine; a node may see only some of them. So the nodes
  // in its own /dev are tried first, in order, and one that another node took meanwhile says EBUSY.
  const nodes = async () =>
    (await readdir(dev))
      .filter((name) => /^loop\d+$/.test(name))
      .sort((a, b) => Number(a.slice(4)) - Number(b.slice(4)))
      .map((name) => `${dev}/${name}`);
  const numbersOf = async (device: string) => deviceNumbers((await stat(device, { bigint: true })).rdev);
  // A loop has this folder in sysfs while it has a file; one that was never opened has nothing there yet.
  const hasFile = async ({ major, minor }: DeviceNumbers) =>
    (await stat(`${sys}/dev/block/${major}:${minor}/loop`).catch(() => undefined)) !== undefined;

  return {
    list,
    async attach(file, { directIo, readOnly, device: only, avoid }, signal) {
      const backing = await backingOf(file);
      const options = [...(directIo ? ['--direct-io=on'] : []), ...(readOnly ? ['--read-only'] : [])];
      const failures: string[] = [];
      const attached = (device: string, place: DeviceNumbers): LoopDevice => {
        const state = { autoclear: false, directIo, readOnly };
        return { device, ...place, backing, backingPath: file, ...state };
      };
      for (const device of only === undefined ? await nodes() : [only]) {
        if (avoid?.has(device)) continue;
        const place = await numbersOf(device);
        if (await hasFile(place)) continue;
        try {
          await tools.run('losetup', [...options, device, file], { signal });
          return attached(device, place);
        } catch (error) {
          if (!isCommandError(error)) throw error;
          failures.push(error.stderr.trim());
          if (failures.length >= maxTries) break;
        }
      }
      if (only !== undefined)
        throw new Error(`${only} cannot be attached to ${file}: ${failures.at(-1) ?? 'it has another'}`);
      const { stdout } = await tools
        .run('losetup', ['--find', '--show', ...options, file], { signal })
        .catch((error: unknown) => {
          throw new Error(`no loop device can be attached to ${file}: ${failures.at(-1) ?? 'none is free'}`, {
            cause: error,
          });
        });
      return attached(stdout.trim(), await numbersOf(stdout.trim()));
    },
    async detach({ device }, signal) {
      try {
        await tools.run('losetup', ['--detach', device], { signal });
      } catch (error) {
        // Gone already: another detach, or autoclear, was faster.
        if (isCommandError(error) && /No such device|No such file/.test(error.stderr)) return;
        throw error;
      }
    },
    async setCapacity({ device }, signal) {
      await tools.run('losetup', ['--set-capacity', device], { signal });
    },
    sizeBytes: ({ device }) => blockSize(device),
    sequence: async ({ major, minor }) => {
      const text = await readFile(`${sys}/dev/block/${major}:${minor}/diskseq`, 'utf8').catch(
        () => undefined,
      );
      return text?.trim();
    },
  };
}

/** Bytes of a block device, from sysfs (512-byte sectors whatever the device's block size). */
export async function blockSize(device: string, sys = '/sys'): Promise<bigint> {
  const { major, minor } = deviceNumbers((await stat(device, { bigint: true })).rdev);
  return BigInt((await readFile(`${sys}/dev/block/${major}:${minor}/size`, 'utf8')).trim()) * 512n;
}

import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isCommandError } from '../../lib/run-command.ts';
import type { Hierarchy } from '../../lib/cgroup-hierarchies.ts';
import { isUnified, pathIn } from './cgroups.ts';
import { deviceProgram } from './device-program.ts';
import { knownLoops } from './loops.ts';
import { runTreePython, type RunOptions } from './tree-tools.ts';

const loopMajor = 7;

// Memory, kernel memory and ports; loop-control, which hands out the host's indexes; device-mapper's control.
const deniedCharacterDevices = [
  [1, 1],
  [1, 2],
  [1, 4],
  [10, 236],
  [10, 237],
] as const;

/**
 * Keeps all that is, or will be, below a group from opening block devices other than its own loops, and the few
 * character devices that lead around that. Making device files stays allowed, for the container runtime has
 * to. False where this machine can do it neither way: nothing is denied then, and `up` has said so.
 */
export async function guardDevices(
  hierarchies: readonly Hierarchy[],
  group: string,
  ownLoops: ReadonlySet<number>,
  { tree, signal }: { readonly tree: string; readonly signal: AbortSignal },
): Promise<boolean> {
  const v1 = hierarchies.find((one) => one.controllers.split(',').includes('devices'));
  if (v1) {
    for (const rule of await deviceDenials(ownLoops))
      await writeFile(join(pathIn(v1, group), 'devices.deny'), rule);
    return true;
  }
  const v2 = hierarchies.find(isUnified);
  return v2 !== undefined && (await loadProgram(tree, ownLoops, { signal }, pathIn(v2, group)));
}

/** Whether this kernel takes the program that stands in for v1's devices hierarchy; none is attached. */
export const canLoadDeviceProgram = (tree: string, options: RunOptions): Promise<boolean> =>
  loadProgram(tree, new Set(), options);

// bpf(2) on amd64: loads a program of type CGROUP_DEVICE and, where a folder is given, attaches it there. It stays
// for as long as the group does, beside those that runc attaches below it: each of them has to allow an access.
const cannot = 3;
const bpfScript = `
import ctypes, errno, os, struct, sys
libc = ctypes.CDLL(None, use_errno=True)
def bpf(command, attributes):
    fd = libc.syscall(321, command, ctypes.create_string_buffer(attributes, 128), 128)
    if fd >= 0:
        return fd
    code = ctypes.get_errno()
    print(os.strerror(code), file=sys.stderr)
    sys.exit(${cannot} if code in (errno.EPERM, errno.EINVAL, errno.ENOSYS) else 1)
program = bytes.fromhex(sys.argv[1])
instructions = ctypes.create_string_buffer(program, len(program))
license = ctypes.create_string_buffer(b'Apache-2.0')
loaded = bpf(5, struct.pack('=IIQQIIQII16s', 15, len(program) // 8, ctypes.addressof(instructions),
    ctypes.addressof(license), 0, 0, 0, 0, 0, b'holdfast_guard'))
if len(sys.argv) > 2:
    bpf(8, struct.pack('=IIII', os.open(sys.argv[2], os.O_RDONLY), loaded, 6, 2))
`;

async function loadProgram(
  tree: string,
  ownLoops: ReadonlySet<number>,
  options: RunOptions,
  folder?: string,
): Promise<boolean> {
  const program = deviceProgram({ major: loopMajor, minors: ownLoops, denied: deniedCharacterDevices });
  const args = [program.toString('hex'), ...(folder === undefined ? [] : [folder])];
  try {
    await runTreePython(tree, bpfScript, args, options);
    return true;
  } catch (error) {
    if (isCommandError(error) && error.exitCode === cannot) return false;
    throw error;
  }
}

const deniedUpTo = 128; // Loops that somebody may yet make; a node's own are let through.

/** The majors of every block driver, out of /proc/devices. */
export const blockMajors = (devices: string): number[] => [
  ...new Set(
    [...(devices.split('Block devices:')[1] ?? '').matchAll(/^\s*(\d+) /gm)].map((match) => Number(match[1])),
  ),
];

/** The same for v1, which only knows what is denied: each block driver there is now, and each loop of others. */
export async function deviceDenials(own: ReadonlySet<number>): Promise<string[]> {
  const majors = blockMajors(await readFile('/proc/devices', 'utf8'));
  const foreign = new Set([
    ...(await knownLoops()),
    ...Array.from({ length: deniedUpTo }, (_, index) => index),
  ]);
  return [
    ...majors.filter((major) => major !== loopMajor).map((major) => `b ${major}:* rw`),
    ...[...foreign].filter((index) => !own.has(index)).map((index) => `b ${loopMajor}:${index} rw`),
    ...deniedCharacterDevices.map(([major, minor]) => `c ${major}:${minor} rw`),
  ];
}

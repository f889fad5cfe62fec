export interface DeviceRules {
  /** Of block devices only those of this major and these minors may be opened. */
  readonly major: number;
  readonly minors: ReadonlySet<number>;
  /** Character devices that may not be opened, as major and minor; all others may. */
  readonly denied: readonly (readonly [major: number, minor: number])[];
}

// linux/bpf.h: what the kernel asks a program of type CGROUP_DEVICE is { access << 16 | type, major, minor }.
const block = 1;
const readOrWrite = 2 | 4; // 1 is mknod.

// Registers. r1 points to what is asked, r0 is the answer: 1 allows, 0 is EPERM.
const answer = 0;
const asked = 1;
const access = 2;
const type = 3;
const major = 4;
const minor = 5;

const code = {
  load: 0x61, // 32 bits of memory
  copy: 0xbf,
  set: 0xb7,
  and: 0x57,
  shiftRight: 0x77,
  jump: 0x05,
  jumpIfEqual: 0x15,
  jumpIfNot: 0x55,
  jumpIfBelow: 0xa5,
  jumpIfUpTo: 0xb5,
  exit: 0x95,
} as const;

type Target = 'allow' | 'deny' | 'block' | 'next';

interface Instruction {
  readonly code: keyof typeof code;
  readonly to?: number;
  readonly from?: number;
  readonly offset?: number;
  readonly value?: number;
  /** Where a jump goes: a label, or past the next instruction. */
  readonly target?: Target;
  readonly label?: Target;
}

/**
 * The eBPF program that answers for v2 what v1's devices.deny did: 8 bytes an instruction. It asks about reading
 * and writing only, so that device files can be made.
 */
export function deviceProgram({ major: ownMajor, minors, denied }: DeviceRules): Buffer {
  const program: Instruction[] = [
    { code: 'load', to: access, from: asked, offset: 0 },
    { code: 'copy', to: type, from: access },
    { code: 'and', to: type, value: 0xffff },
    { code: 'shiftRight', to: access, value: 16 },
    { code: 'load', to: major, from: asked, offset: 4 },
    { code: 'load', to: minor, from: asked, offset: 8 },
    { code: 'and', to: access, value: readOrWrite },
    { code: 'jumpIfEqual', to: access, value: 0, target: 'allow' },
    { code: 'jumpIfEqual', to: type, value: block, target: 'block' },
    ...denied.flatMap(([deniedMajor, deniedMinor]): Instruction[] => [
      { code: 'jumpIfNot', to: major, value: deniedMajor, target: 'next' },
      { code: 'jumpIfEqual', to: minor, value: deniedMinor, target: 'deny' },
    ]),
    { code: 'jump', target: 'allow' },
    { code: 'jumpIfNot', to: major, value: ownMajor, target: 'deny', label: 'block' },
    ...ranges(minors).flatMap(([first, last]): Instruction[] => [
      { code: 'jumpIfBelow', to: minor, value: first, target: 'next' },
      { code: 'jumpIfUpTo', to: minor, value: last, target: 'allow' },
    ]),
    { code: 'set', to: answer, value: 0, label: 'deny' },
    { code: 'exit' },
    { code: 'set', to: answer, value: 1, label: 'allow' },
    { code: 'exit' },
  ];
  return Buffer.concat(
    program.map((instruction, at) => encode(instruction, jumpOf(program, instruction, at))),
  );
}

function jumpOf(program: readonly Instruction[], { target, offset = 0 }: Instruction, at: number): number {
  if (target === undefined) return offset;
  return target === 'next' ? 1 : program.findIndex(({ label }) => label === target) - at - 1;
}

function encode(instruction: Instruction, offset: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeUInt8(code[instruction.code], 0);
  bytes.writeUInt8(((instruction.from ?? 0) << 4) | (instruction.to ?? 0), 1);
  bytes.writeInt16LE(offset, 2);
  bytes.writeInt32LE(instruction.value ?? 0, 4);
  return bytes;
}

/** Neighbours as one range: a node's spare loops are many, and in a row. */
function ranges(numbers: ReadonlySet<number>): (readonly [first: number, last: number])[] {
  const found: [number, number][] = [];
  for (const number of [...numbers].toSorted((a, b) => a - b)) {
    const last = found.at(-1);
    if (last?.[1] === number - 1) last[1] = number;
    else found.push([number, number]);
  }
  return found;
}

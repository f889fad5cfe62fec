import { expect, test } from 'vitest';
import { deviceProgram } from './device-program.ts';

const block = 1;
const character = 2;
const mknod = 1;
const read = 2;
const write = 4;

/** As much of the kernel's machine as the program uses; an instruction that it does not know is an error. */
function run(program: Buffer, type: number, access: number, major: number, minor: number): number {
  const memory = [(access << 16) | type, major, minor];
  const registers = [0, 0, 0, 0, 0, 0];
  for (let at = 0, steps = 0; steps < 1000; at++, steps++) {
    const operation = program.readUInt8(at * 8);
    const registersByte = program.readUInt8(at * 8 + 1);
    const [to, from] = [registersByte & 15, registersByte >> 4];
    const offset = program.readInt16LE(at * 8 + 2);
    const value = program.readInt32LE(at * 8 + 4);
    const left = registers[to] as number;
    if (operation === 0x61) registers[to] = memory[offset / 4] as number;
    else if (operation === 0xbf) registers[to] = registers[from] as number;
    else if (operation === 0xb7) registers[to] = value;
    else if (operation === 0x57) registers[to] = left & value;
    else if (operation === 0x77) registers[to] = left >>> value;
    else if (operation === 0x05) at += offset;
    else if (operation === 0x15) at += left === value ? offset : 0;
    else if (operation === 0x55) at += left === value ? 0 : offset;
    else if (operation === 0xa5) at += left < value ? offset : 0;
    else if (operation === 0xb5) at += left <= value ? offset : 0;
    else if (operation === 0x95) return registers[0] as number;
    else throw new Error(`instruction ${at} has the code ${operation}`);
  }
  throw new Error('the program does not end');
}

const program = deviceProgram({
  major: 7,
  minors: new Set([3, 0, 1025, 1024, 1026]),
  denied: [
    [1, 1],
    [10, 237],
  ],
});
const mayOpen = (type: number, major: number, minor: number) =>
  [read, write, read | write, read | mknod].map((access) => run(program, type, access, major, minor) === 1);
const yes = [true, true, true, true];
const no = [false, false, false, false];

test('of block devices only the own loops can be opened', () => {
  for (const own of [0, 3, 1024, 1025, 1026]) expect(mayOpen(block, 7, own)).toEqual(yes);
  for (const foreign of [1, 2, 4, 1023, 1027]) expect(mayOpen(block, 7, foreign)).toEqual(no);
  // The numbers of an own loop under another driver: sda3, vda, rbd0.
  for (const [major, minor] of [
    [8, 3],
    [254, 0],
    [252, 0],
  ] as const)
    expect(mayOpen(block, major, minor)).toEqual(no);
});

test('of character devices only those that lead around it cannot', () => {
  expect(mayOpen(character, 1, 3)).toEqual(yes);
  expect(mayOpen(character, 10, 229)).toEqual(yes);
  expect(mayOpen(character, 7, 2)).toEqual(yes);
  expect(mayOpen(character, 1, 1)).toEqual(no);
  expect(mayOpen(character, 10, 237)).toEqual(no);
});

test('every device file can be made, for the container runtime has to', () => {
  for (const type of [block, character]) expect(run(program, type, mknod, 8, 0)).toBe(1);
  expect(run(program, character, mknod, 1, 1)).toBe(1);
});

test('a node without loops can open no block device', () => {
  const none = deviceProgram({ major: 7, minors: new Set(), denied: [] });
  expect(run(none, block, read, 7, 0)).toBe(0);
  expect(run(none, character, read, 1, 3)).toBe(1);
});

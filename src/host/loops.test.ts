import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { CommandError } from '../lib/run-command.ts';
import { deviceNumbers, hasBacking, hostLoops, parseLoops } from './loops.ts';
import type { HostTools } from './tools.ts';

test('losetup’s JSON, with its flags as booleans or as digits', () => {
  const json = (autoclear: unknown) =>
    JSON.stringify({
      loopdevices: [
        {
          name: '/dev/loop3',
          'maj:min': '  7:3  ',
          'back-file': '/x (deleted)',
          'back-ino': 42,
          'back-maj:min': '  0:51 ',
          autoclear,
          dio: true,
          ro: false,
        },
      ],
    });
  const [loop] = parseLoops(json(true));
  expect(loop).toEqual({
    device: '/dev/loop3',
    major: 7,
    minor: 3,
    backing: { major: 0, minor: 51, inode: 42 },
    backingPath: '/x (deleted)',
    autoclear: true,
    directIo: true,
    readOnly: false,
  });
  expect(parseLoops(json('0'))[0]?.autoclear).toBe(false);
  expect(parseLoops('')).toEqual([]);
  expect(hasBacking(loop!, { major: 0, minor: 51, inode: 42 })).toBe(true);
  expect(hasBacking(loop!, { major: 0, minor: 52, inode: 42 })).toBe(false);
});

test('device numbers of a stat, large minors too', () => {
  expect(deviceNumbers(7 * 256 + 3)).toEqual({ major: 7, minor: 3 });
  expect(deviceNumbers(259n * 256n + (1n << 20n))).toEqual({ major: 259, minor: 256 });
});

test('a loop whose file went away under it does not hide the others', () => {
  const orphan = {
    name: '/dev/loop232706',
    'maj:min': '  7:232706',
    'back-file': '/',
    'back-ino': null,
    'back-maj:min': null,
    autoclear: false,
    dio: true,
    ro: false,
  };
  const [loop] = parseLoops(JSON.stringify({ loopdevices: [orphan] }));
  expect(loop).toMatchObject({ device: '/dev/loop232706', minor: 232706, backing: { major: -1, inode: -1 } });
});

test('a file goes to the first loop of the node that has none and that nobody else takes, by one command each', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'loops-'));
  const [dev, sys, file] = [join(folder, 'dev'), join(folder, 'sys'), join(folder, 'file')];
  await mkdir(dev);
  await writeFile(file, '');
  // Devices that every machine has, under the names of loops: 1:3, 1:5, 1:7.
  const targets = {
    loop2: '/dev/null',
    loop9: '/dev/zero',
    loop10: '/dev/full',
    'loop-control': '/dev/null',
  };
  for (const [name, target] of Object.entries(targets)) await symlink(target, join(dev, name));
  await mkdir(join(sys, 'dev/block/1:3/loop'), { recursive: true });
  const ran: string[] = [];
  const tools: HostTools = {
    path: (tool) => tool,
    run: (tool, args) => {
      ran.push([tool, ...args].join(' ').replaceAll(`${folder}/`, ''));
      const busy = args.includes(join(dev, 'loop9'));
      return busy
        ? Promise.reject(new CommandError(tool, 1, undefined, '', 'Device or resource busy'))
        : Promise.resolve({ stdout: '', stderr: '' });
    },
  };
  const loops = hostLoops(tools, { dev, sys });
  const { signal } = new AbortController();
  const loop = await loops.attach(file, { directIo: true, readOnly: false }, signal);
  const avoid = new Set([join(dev, 'loop9')]);
  const other = await loops.attach(file, { directIo: false, readOnly: false, avoid }, signal);
  await rm(folder, { recursive: true });
  expect(ran).toEqual([
    'losetup --direct-io=on dev/loop9 file',
    'losetup --direct-io=on dev/loop10 file',
    'losetup dev/loop10 file',
  ]);
  expect(other.device).toBe(join(dev, 'loop10'));
  expect(loop).toMatchObject({ device: join(dev, 'loop10'), major: 1, minor: 7, directIo: true });
});

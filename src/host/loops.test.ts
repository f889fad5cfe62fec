import { expect, test } from 'vitest';
import { deviceNumbers, hasBacking, parseLoops } from './loops.ts';

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

import {
  chmod,
  lstat,
  mkdir,
  mkdtemp,
  readFile,
  readdir,
  readlink,
  rm,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { isProjectedPath, writePayload, type Payload } from './atomic-files.ts';
import { prepareHostPath } from './host-path.ts';
import { parseMountInfo } from './mount-table.ts';
import { applyFsGroup } from './ownership.ts';
import { removeTree } from './safe-remove.ts';
import { bindSubPath, isLocalPath } from './sub-path.ts';

let base: string;
beforeEach(async () => {
  base = await mkdtemp(join(tmpdir(), 'node-volumes-'));
});
afterEach(() => rm(base, { recursive: true, force: true }));
const { signal } = new AbortController();

describe('files from the API', () => {
  const payload = (files: Record<string, string>, mode = 0o644): Payload =>
    new Map(Object.entries(files).map(([path, text]) => [path, { data: Buffer.from(text), mode }]));
  const write = (files: Record<string, string>, mode?: number) =>
    writePayload(join(base, 'v'), payload(files, mode), () => Promise.resolve());
  const text = (path: string) => readFile(join(base, 'v', path), 'utf8');

  test('all of them change at once, behind one link', async () => {
    expect(await write({ a: '1', 'deep/b': '2' })).toBe(true);
    const before = await readlink(join(base, 'v/..data'));
    expect([await text('a'), await text('deep/b')]).toEqual(['1', '2']);
    expect(await write({ a: '1', 'deep/b': '2' })).toBe(false);
    expect(await readlink(join(base, 'v/..data'))).toBe(before);
    expect(await write({ a: '9', c: '3' })).toBe(true);
    expect([await text('a'), await text('c')]).toEqual(['9', '3']);
    const names = (await readdir(join(base, 'v'))).filter((name) => !name.startsWith('..'));
    expect(names.sort()).toEqual(['a', 'c']);
    expect(await readdir(join(base, 'v'))).not.toContain(before);
    expect(await readlink(join(base, 'v/a'))).toBe('..data/a');
  });

  test('a mode alone is a change; an empty payload is a folder', async () => {
    await write({ a: '1' }, 0o644);
    expect(await write({ a: '1' }, 0o755)).toBe(true);
    expect((await lstat(join(base, 'v/..data/a'))).mode & 0o777).toBe(0o755);
    expect(await write({})).toBe(true);
  });

  test('links that a crash left out are made up for', async () => {
    await write({ a: '1' });
    await rm(join(base, 'v/a'));
    expect(await write({ a: '1' })).toBe(false);
    expect(await text('a')).toBe('1');
  });

  test.each(['/abs', '../up', 'a/../../b', '..data', '', 'a//b', './a'])(
    '%s is no path of a volume',
    async (path) => {
      expect(isProjectedPath(path)).toBe(false);
      await expect(write({ [path]: 'x' })).rejects.toThrow('invalid path');
    },
  );
});

describe('hostPath types', () => {
  test.each([
    ['Directory', 'is not a directory'],
    ['File', 'is not a file'],
    ['Socket', 'is not a socket file'],
    ['CharDevice', 'is not a character device'],
    ['BlockDevice', 'is not a block device'],
  ])('%s that is missing', async (type, message) => {
    const path = join(base, 'none');
    await expect(prepareHostPath(path, type)).rejects.toThrow(
      `hostPath type check failed: ${path} ${message}`,
    );
  });
  test('made where the type says so, and of the right sort', async () => {
    await prepareHostPath(join(base, 'd/e'), 'DirectoryOrCreate');
    await prepareHostPath(join(base, 'f'), 'FileOrCreate');
    expect((await lstat(join(base, 'd/e'))).isDirectory()).toBe(true);
    expect((await lstat(join(base, 'f'))).isFile()).toBe(true);
    await expect(prepareHostPath(join(base, 'f'), 'DirectoryOrCreate')).rejects.toThrow('is not a directory');
    await prepareHostPath('/dev/null', 'CharDevice');
    await prepareHostPath(join(base, 'whatever'), '');
    await expect(prepareHostPath(base, 'Odd')).rejects.toThrow('invalid volume type');
  });
});

describe('sub-paths', () => {
  test('by their text', () => {
    expect(['a', 'a/b', 'a..b'].every(isLocalPath)).toBe(true);
    expect(['/a', '..', 'a/../..'].some(isLocalPath)).toBe(false);
  });
  test('a link that leads out of the volume is refused, and nothing is made outside', async () => {
    await mkdir(join(base, 'volume'));
    await mkdir(join(base, 'outside'));
    await symlink(join(base, 'outside'), join(base, 'volume/link'));
    const bind = (path: string) => bindSubPath(join(base, 'volume'), path, join(base, 'target'), signal);
    await expect(bind('link')).rejects.toThrow('leads out of the volume');
    await expect(bind('link/new')).rejects.toThrow('changed while it was opened');
    expect(await readdir(join(base, 'outside'))).toEqual([]);
    await expect(bind('../outside')).rejects.toThrow("must not contain '..'");
  });
});

describe('removal', () => {
  test('never follows a link, and never leaves its place', async () => {
    await mkdir(join(base, 'pods/u/v'), { recursive: true });
    await writeFile(join(base, 'keep'), 'x');
    await symlink(base, join(base, 'pods/u/v/link'));
    await removeTree(join(base, 'pods/u'), join(base, 'pods'));
    expect(await readdir(join(base, 'pods'))).toEqual([]);
    expect(await readFile(join(base, 'keep'), 'utf8')).toBe('x');
    await expect(removeTree(join(base, 'keep'), join(base, 'pods'))).rejects.toThrow('is not below');
    await expect(removeTree(join(base, 'pods'), join(base, 'pods'))).rejects.toThrow('is not below');
    await removeTree(join(base, 'pods/none'), join(base, 'pods'));
  });
  test('refuses what is mounted', async () => {
    // devpts: were this check broken, the kernel itself would refuse to remove anything there.
    await expect(removeTree('/dev/pts', '/dev')).rejects.toMatchObject({ code: 'STILL_MOUNTED' });
  });
});

test('fsGroup: folders get setgid, files read and write, links are not followed', async () => {
  const gid = process.getgid?.() ?? 0;
  await mkdir(join(base, 'v/d'), { recursive: true });
  await writeFile(join(base, 'v/d/f'), 'x', { mode: 0o600 });
  await writeFile(join(base, 'outside'), 'x', { mode: 0o600 });
  await symlink(join(base, 'outside'), join(base, 'v/link'));
  await applyFsGroup(join(base, 'v'), { gid, readOnly: false, onRootMismatch: false }, signal);
  const mode = async (path: string) => (await lstat(join(base, path))).mode & 0o7777;
  expect((await mode('v/d')) & 0o2770).toBe(0o2770);
  expect(await mode('v/d/f')).toBe(0o660);
  expect(await mode('outside')).toBe(0o600);
  await chmod(join(base, 'v/d/f'), 0o600);
  await applyFsGroup(join(base, 'v'), { gid, readOnly: false, onRootMismatch: true }, signal);
  expect(await mode('v/d/f')).toBe(0o600); // The top was right, so the rest is left alone.
});

test('mount points with spaces and newlines', () => {
  const text = '36 35 98:0 /sub /mnt/a\\040b\\012c rw,noatime master:1 - ext3 /dev/root rw\n';
  expect(parseMountInfo(text)).toEqual([
    { mountPoint: '/mnt/a b\nc', fsType: 'ext3', source: '/dev/root', root: '/sub' },
  ]);
});

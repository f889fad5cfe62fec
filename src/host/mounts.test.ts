import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { mountAt, mountsOfDevice, parseMountInfo, withPinnedPath } from './mounts.ts';

const text = String.raw`22 1 0:20 / / rw,relatime - overlay overlay rw,lowerdir=/a
36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue
40 22 7:3 / /var/lib/a\040b rw,relatime shared:12 - xfs /dev/loop3 rw,nouuid
41 40 7:4 / /var/lib/a\040b rw - xfs /dev/loop4 rw
`;

test('mountinfo: optional fields, escapes, the topmost mount of a path', () => {
  const mounts = parseMountInfo(text);
  expect(mounts).toHaveLength(4);
  expect(mounts[1]).toEqual({
    id: 36,
    parentId: 35,
    major: 98,
    minor: 0,
    root: '/mnt1',
    mountPoint: '/mnt2',
    options: ['rw', 'noatime'],
    propagation: ['master:1'],
    fsType: 'ext3',
    source: '/dev/root',
    superOptions: ['rw', 'errors=continue'],
  });
  expect(mountAt(mounts, '/var/lib/a b')).toMatchObject({ id: 41, minor: 4 });
  expect(mountAt(mounts, '/var/lib')).toBeUndefined();
  expect(mountsOfDevice(mounts, { major: 7, minor: 3 }).map((entry) => entry.id)).toEqual([40]);
});

let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'mounts-'));
});
afterEach(() => rm(dir, { recursive: true }));

test('a path is pinned only where no component of it is a symlink', async () => {
  await mkdir(join(dir, 'real/inner'), { recursive: true });
  await writeFile(join(dir, 'real/file'), '');
  await symlink('real', join(dir, 'link'));
  await symlink('file', join(dir, 'real/alias'));
  const pin = (path: string) => withPinnedPath(join(dir, path), async (pinned) => pinned);
  expect(await pin('real/inner')).toMatch(/^\/proc\/\d+\/fd\/\d+$/);
  await expect(pin('link/inner')).rejects.toMatchObject({ code: 'SYMLINK_IN_PATH' });
  await expect(pin('real/alias')).rejects.toMatchObject({ code: 'SYMLINK_IN_PATH' });
  await expect(pin('real/../real/inner')).resolves.toBeDefined();
  await expect(pin('absent')).rejects.toMatchObject({ code: 'ENOENT' });
});

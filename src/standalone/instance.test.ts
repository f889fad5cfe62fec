import { mkdir, mkdtemp, readdir, realpath, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { checkDataDir, createInstance, purgeDataDir, readInstance } from './instance.ts';

let base: string;
beforeEach(async () => {
  base = await realpath(await mkdtemp(join(tmpdir(), 'instance-')));
});
afterEach(() => rm(base, { recursive: true }));

const choices = {
  apiPort: 6443,
  etcdPort: 1,
  etcdPeerPort: 2,
  serviceCidr: '10.96.0.0/16',
  podCidr: '10.244.0.0/16',
  fabricCidr: '10.245.0.0/24',
  nodes: [{ name: 'node1', disks: 3, diskSizeBytes: 1024 }],
};

describe('a data directory', () => {
  test.each(['/home', '/', '/var/lib', '/etc', '/usr/local', 'data', '/var/lib/../x'])(
    '%s is refused',
    async (path) => {
      await expect(checkDataDir(path)).rejects.toThrow(/--data-dir/);
    },
  );

  test('that is a symlink, or lies below one, is refused', async () => {
    await mkdir(join(base, 'real'));
    await symlink(join(base, 'real'), join(base, 'link'));
    await expect(checkDataDir(join(base, 'link'))).rejects.toThrow('symlink');
    await expect(checkDataDir(join(base, 'link/below'))).rejects.toThrow('symlink');
  });

  test("with someone else's files is refused, an empty or new one is taken", async () => {
    await writeFile(join(base, 'thesis.tex'), '');
    await expect(checkDataDir(base)).rejects.toThrow("not Holdfast's");
    await checkDataDir(join(base, 'new'));
    await mkdir(join(base, 'empty'));
    await checkDataDir(join(base, 'empty'));
  });

  test('is taken, and purged, where an up ended before it marked it', async () => {
    const data = join(base, 'data');
    await mkdir(join(data, 'run'), { recursive: true });
    await writeFile(join(data, 'run/up.lock'), '{}');
    await checkDataDir(data);
    await purgeDataDir(data);
    expect(await readdir(base)).toEqual([]);

    await mkdir(join(data, 'run'), { recursive: true });
    await writeFile(join(data, 'run/thesis.tex'), '');
    await expect(checkDataDir(data)).rejects.toThrow("not Holdfast's");
    await expect(purgeDataDir(data)).rejects.toThrow("not Holdfast's");
  });

  test('that an interrupted first start left is taken again, and purged', async () => {
    await mkdir(join(base, 'data/run'), { recursive: true });
    await writeFile(join(base, 'data/run/up.lock'), '{}');
    await checkDataDir(join(base, 'data'));
    await purgeDataDir(join(base, 'data'));
    expect(await readdir(base)).toEqual([]);
    await mkdir(join(base, 'other/run'), { recursive: true });
    await writeFile(join(base, 'other/run/pidfile'), '1');
    await expect(checkDataDir(join(base, 'other'))).rejects.toThrow("not Holdfast's");
  });

  test('remembers what was decided', async () => {
    const made = await createInstance(join(base, 'data'), choices, 0);
    expect(await readInstance(join(base, 'data'))).toEqual(made);
    await checkDataDir(join(base, 'data'));
  });
});

describe('a purge', () => {
  test('removes an instance whole', async () => {
    await createInstance(join(base, 'data'), choices, 0);
    await mkdir(join(base, 'data/etcd/member'), { recursive: true });
    await symlink('/etc/passwd', join(base, 'data/etcd/link'));
    await purgeDataDir(join(base, 'data'));
    expect(await readdir(base)).toEqual([]);
  });

  test('leaves a folder without our marker alone', async () => {
    await mkdir(join(base, 'data'));
    await writeFile(join(base, 'data/precious'), '1');
    await expect(purgeDataDir(join(base, 'data'))).rejects.toThrow("not Holdfast's");
    expect(await readdir(join(base, 'data'))).toEqual(['precious']);
  });

  test('of what is not there is done', async () => {
    await purgeDataDir(join(base, 'none'));
  });
});

import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { daemonCgroup } from './daemon-cgroup.ts';

let proc: string;
beforeEach(async () => {
  proc = await mkdtemp(join(tmpdir(), 'cgroup-'));
  await mkdir(join(proc, '1'));
});
afterEach(() => rm(proc, { recursive: true }));

const line = (mount: string, type: string, options: string) =>
  `31 23 0:27 / ${mount} rw,nosuid shared:9 - ${type} ${type} rw,${options}`;

test("a daemon enters the group of every hierarchy of the node's first process; cpuset is filled before", async () => {
  const table = [
    line('/sys/fs/cgroup/devices', 'cgroup', 'devices'),
    line('/sys/fs/cgroup/cpuset', 'cgroup', 'cpuset'),
    line('/sys/fs/cgroup/unified', 'cgroup2', 'nsdelegate'),
  ];
  await writeFile(join(proc, '1/mountinfo'), table.join('\n'));
  const root = join(proc, '1/root/sys/fs/cgroup');
  const own = join(root, 'cpuset/holdfast-mounter');
  await mkdir(own, { recursive: true });
  for (const [name, text] of Object.entries({ 'cpuset.cpus': '0-1\n', 'cpuset.mems': '0\n' })) {
    await writeFile(join(root, 'cpuset', name), text);
    await writeFile(join(own, name), '\n');
  }

  await daemonCgroup(proc).take(4321);

  for (const hierarchy of ['devices', 'cpuset', 'unified'])
    expect(await readFile(join(root, hierarchy, 'holdfast-mounter/cgroup.procs'), 'utf8')).toBe('4321');
  expect(await readFile(join(own, 'cpuset.cpus'), 'utf8')).toBe('0-1\n');
  expect(await readFile(join(own, 'cpuset.mems'), 'utf8')).toBe('0\n');
});

test('a node without cgroups is an error: the daemon would end with its container', async () => {
  await writeFile(join(proc, '1/mountinfo'), '24 1 0:5 / /dev rw - devtmpfs devtmpfs rw');
  await expect(daemonCgroup(proc).take(1)).rejects.toThrow('no cgroup hierarchy');
});

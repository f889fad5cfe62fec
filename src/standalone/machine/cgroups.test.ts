import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { basedInScope, emptyIntoLeaf, findHierarchies } from './cgroups.ts';

const line = (mount: string, type: string, options: string) =>
  `31 23 0:27 / ${mount} rw,nosuid shared:9 - ${type} ${type} rw,${options}`;

test('hierarchies of v1 are told by their controllers, a named one by its name, and the unified one by none', async () => {
  const table = [
    '23 1 0:22 / /sys/fs/cgroup ro - tmpfs tmpfs ro,mode=755',
    line('/sys/fs/cgroup/cpu,cpuacct', 'cgroup', 'cpu,cpuacct'),
    line('/sys/fs/cgroup/systemd', 'cgroup', 'xattr,release_agent=/lib/agent,name=systemd'),
    line('/sys/fs/cgroup/unified', 'cgroup2', 'nsdelegate'),
    line('/elsewhere/memory', 'cgroup', 'memory'),
    '24 1 0:5 / /dev rw - devtmpfs devtmpfs rw',
  ].join('\n');
  expect(await findHierarchies(table)).toEqual([
    { mount: '/sys/fs/cgroup/cpu,cpuacct', controllers: 'cpu,cpuacct', base: '' },
    { mount: '/sys/fs/cgroup/systemd', controllers: 'name=systemd', base: '' },
    { mount: '/sys/fs/cgroup/unified', controllers: '', base: '' },
  ]);
});

test('a host with v2 alone has one hierarchy', async () => {
  expect(await findHierarchies(line('/sys/fs/cgroup', 'cgroup2', 'nsdelegate,memory_recursiveprot'))).toEqual(
    [{ mount: '/sys/fs/cgroup', controllers: '', base: '' }],
  );
  expect(await findHierarchies('')).toEqual([]);
});

const scope = 'holdfast-1a2b3c4d.scope';
const unified = { mount: '/sys/fs/cgroup', controllers: '', base: '' };

test('in a scope groups are made below it, whichever leaf of it the process is in', () => {
  const own = `0::/holdfast.slice/${scope}/host\n`;
  expect(basedInScope([unified], own, scope)).toEqual([{ ...unified, base: `/holdfast.slice/${scope}` }]);
});

test('outside of the scope, or in that of another instance, they are made at the top', () => {
  for (const own of [
    '0::/user.slice/user-0.slice/session-3.scope\n',
    '0::/holdfast.slice/holdfast-ffffffff.scope/host\n',
  ])
    expect(basedInScope([unified], own, scope)).toEqual([unified]);
});

test("a v1 hierarchy that systemd has no group in is ours at its top, beside its own one's scope", () => {
  const systemd = { mount: '/sys/fs/cgroup/systemd', controllers: 'name=systemd', base: '' };
  const cpuset = { mount: '/sys/fs/cgroup/cpuset', controllers: 'cpuset', base: '' };
  const own = `3:cpuset:/\n1:name=systemd:/holdfast.slice/${scope}/host\n`;
  expect(basedInScope([systemd, cpuset], own, scope)).toEqual([
    { ...systemd, base: `/holdfast.slice/${scope}` },
    cpuset,
  ]);
});

test('a v2 group is emptied into its leaf before its children get controllers', async () => {
  const mount = await mkdtemp(join(tmpdir(), 'holdfast-cgroup-'));
  const group = join(mount, 'holdfast-1a2b3c4d/node1/node');
  await mkdir(group, { recursive: true });
  await writeFile(join(group, 'cgroup.procs'), '473\n');
  await writeFile(join(group, 'cgroup.controllers'), 'cpuset cpu io memory pids rdma\n');

  await emptyIntoLeaf([{ mount, controllers: '', base: '' }], 'holdfast-1a2b3c4d/node1/node', 'system');

  expect(await readFile(join(group, 'system/cgroup.procs'), 'utf8')).toBe('473');
  expect(await readFile(join(group, 'cgroup.subtree_control'), 'utf8')).toBe(
    '+cpuset +cpu +io +memory +pids',
  );
  await rm(mount, { recursive: true });
});

import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { basedInScope, emptyIntoLeaf } from './cgroups.ts';

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

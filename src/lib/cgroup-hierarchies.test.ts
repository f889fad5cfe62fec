import { expect, test } from 'vitest';
import { findHierarchies } from './cgroup-hierarchies.ts';

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

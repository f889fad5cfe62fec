import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

/** One cgroup hierarchy of this host. */
export interface Hierarchy {
  readonly mount: string;
  /** `cpu`, `cpu,cpuacct`, `name=systemd`; empty for the unified one. */
  readonly controllers: string;
  /** The group below which ours are made: empty for the hierarchy's root, `/holdfast.slice/x.scope` in a scope. */
  readonly base: string;
}

/** The hierarchies as they are mounted: v1, the unified one beside them, or the unified one alone. */
export async function findHierarchies(mountinfo?: string): Promise<Hierarchy[]> {
  const table = mountinfo ?? (await readFile('/proc/self/mountinfo', 'utf8'));
  const found: Hierarchy[] = [];
  for (const line of table.split('\n')) {
    const [left = '', right = ''] = line.split(' - ');
    const mount = left.split(' ')[4] ?? '';
    const [type, , superOptions = ''] = right.split(' ');
    if (!mount.startsWith('/sys/fs/cgroup')) continue;
    if (type === 'cgroup2') found.push({ mount, controllers: '', base: '' });
    if (type !== 'cgroup') continue;
    const known = ['rw', 'ro', 'relatime', 'nsdelegate', 'xattr', 'memory_recursiveprot'];
    const controllers = superOptions
      .split(',')
      .filter((option) => !known.includes(option) && !/^(release_agent|clone_children)/.test(option));
    found.push({ mount, controllers: controllers.join(','), base: '' });
  }
  return found;
}

export const hasCpuset = ({ controllers }: Hierarchy): boolean => controllers.split(',').includes('cpuset');

/** A new cpuset group of v1 is empty, and lets no process in before its files are filled. */
export async function fillCpuset(parent: string, group: string): Promise<void> {
  for (const name of ['cpuset.cpus', 'cpuset.mems']) {
    if ((await readFile(join(group, name), 'utf8')).trim() !== '') continue;
    await writeFile(join(group, name), await readFile(join(parent, name), 'utf8'));
  }
}

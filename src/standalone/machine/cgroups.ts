import { access, mkdir, readFile, readdir, rmdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '../../lib/clock.ts';

/** One cgroup hierarchy of this host. */
export interface Hierarchy {
  readonly mount: string;
  /** `cpu`, `cpu,cpuacct`, `name=systemd`; empty for the unified one. */
  readonly controllers: string;
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
    if (type === 'cgroup2') found.push({ mount, controllers: '' });
    if (type !== 'cgroup') continue;
    const known = ['rw', 'ro', 'relatime', 'nsdelegate', 'xattr', 'memory_recursiveprot'];
    const controllers = superOptions
      .split(',')
      .filter((option) => !known.includes(option) && !/^(release_agent|clone_children)/.test(option));
    found.push({ mount, controllers: controllers.join(',') });
  }
  return found;
}

const isUnified = (hierarchy: Hierarchy) => hierarchy.controllers === '';
const pathIn = (hierarchy: Hierarchy, group: string) => join(hierarchy.mount, group);
const unifiedControllers = ['cpuset', 'cpu', 'io', 'memory', 'pids'];

/**
 * Makes a group such as `holdfast-1a2b3c4d/node1/node` in every hierarchy and answers its cgroup.procs
 * files. cpuset needs its files filled at each level before a process may enter.
 */
export async function makeGroup(hierarchies: readonly Hierarchy[], group: string): Promise<string[]> {
  for (const hierarchy of hierarchies) {
    let at = hierarchy.mount;
    for (const part of group.split('/')) {
      if (isUnified(hierarchy)) await delegate(at);
      const parent = at;
      at = join(at, part);
      await mkdir(at, { recursive: true });
      if (hierarchy.controllers.split(',').includes('cpuset')) await fillCpuset(parent, at);
    }
  }
  return hierarchies.map((hierarchy) => join(pathIn(hierarchy, group), 'cgroup.procs'));
}

async function fillCpuset(parent: string, group: string): Promise<void> {
  for (const name of ['cpuset.cpus', 'cpuset.mems']) {
    if ((await readFile(join(group, name), 'utf8')).trim() !== '') continue;
    await writeFile(join(group, name), await readFile(join(parent, name), 'utf8'));
  }
}

/** Lets the children of a v2 group use what this host's v2 hierarchy has; beside v1 it has no controllers. */
async function delegate(group: string): Promise<void> {
  const there = (await readFile(join(group, 'cgroup.controllers'), 'utf8').catch(() => '')).trim().split(' ');
  const wanted = unifiedControllers.filter((name) => there.includes(name));
  if (wanted.length > 0)
    await writeFile(join(group, 'cgroup.subtree_control'), wanted.map((name) => `+${name}`).join(' '));
}

/** Denies devices to all that is, or will be, below a v1 group. Without v1's devices hierarchy nothing is denied. */
export async function denyDevices(
  hierarchies: readonly Hierarchy[],
  group: string,
  rules: readonly string[],
): Promise<boolean> {
  const devices = hierarchies.find((hierarchy) => hierarchy.controllers.split(',').includes('devices'));
  if (!devices) return false;
  for (const rule of rules) await writeFile(join(pathIn(devices, group), 'devices.deny'), rule);
  return true;
}

/** Every process of a group and of those below it. */
export async function processesOf(hierarchies: readonly Hierarchy[], group: string): Promise<number[]> {
  const pids = new Set<number>();
  for (const hierarchy of hierarchies) {
    for (const folder of await foldersBelow(pathIn(hierarchy, group))) {
      const text = await readFile(join(folder, 'cgroup.procs'), 'utf8').catch(() => '');
      for (const line of text.split('\n')) if (line !== '') pids.add(Number(line));
    }
  }
  return [...pids];
}

/** Kills a group with all below it and removes it. Resolves when no process and no folder of it is left. */
export async function removeGroup(
  hierarchies: readonly Hierarchy[],
  group: string,
  { clock, signal }: { readonly clock: Clock; readonly signal: AbortSignal },
): Promise<void> {
  for (const hierarchy of hierarchies.filter(isUnified)) {
    await writeFile(join(pathIn(hierarchy, group), 'cgroup.kill'), '1').catch(() => undefined);
  }
  for (;;) {
    const left = await processesOf(hierarchies, group);
    if (left.length === 0) break;
    // Being in this group makes them ours: a pid cannot be reused while its process is in it.
    for (const pid of left) {
      try {
        process.kill(pid, 'SIGKILL');
      } catch {
        continue; // It ended meanwhile.
      }
    }
    await clock.sleep(20, signal);
  }
  for (const hierarchy of hierarchies) {
    const folders = await foldersBelow(pathIn(hierarchy, group));
    for (const folder of folders.toReversed()) await removeFolder(folder, clock, signal);
  }
}

/** A group whose last process is just being reaped is busy for a moment. */
async function removeFolder(folder: string, clock: Clock, signal: AbortSignal): Promise<void> {
  for (let attempt = 0; ; attempt++) {
    try {
      return await rmdir(folder);
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code;
      if (code === 'ENOENT') return;
      if (code !== 'EBUSY' || attempt >= 100) throw error;
      await clock.sleep(20, signal);
    }
  }
}

/** The folder and all below it, parents first; empty where it is not there. */
async function foldersBelow(folder: string): Promise<string[]> {
  if (
    !(await access(folder).then(
      () => true,
      () => false,
    ))
  )
    return [];
  const entries = await readdir(folder, { withFileTypes: true }).catch(() => []);
  const nested = await Promise.all(
    entries.filter((entry) => entry.isDirectory()).map((entry) => foldersBelow(join(folder, entry.name))),
  );
  return [folder, ...nested.flat()];
}

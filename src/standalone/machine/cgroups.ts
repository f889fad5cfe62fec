import { mkdir, readFile, readdir, rmdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fillCpuset, hasCpuset, type Hierarchy } from '../../lib/cgroup-hierarchies.ts';
import type { Clock } from '../../lib/clock.ts';
import { pathExists } from '../../lib/path-exists.ts';

/** The group of a process in each hierarchy, by its controllers: the lines of /proc/PID/cgroup. */
export function groupsByControllers(procCgroup: string): Map<string, string> {
  const groups = new Map<string, string>();
  for (const line of procCgroup.split('\n')) {
    const [, controllers, group] = /^\d+:([^:]*):(\/.*)$/.exec(line) ?? [];
    if (controllers !== undefined && group !== undefined) groups.set(controllers, group);
  }
  return groups;
}

/**
 * The hierarchies with our groups in the systemd scope that this process is in, which is ours to divide. Where
 * it is in none, or a hierarchy of v1 has no such group, they are made at the top: there systemd makes none.
 */
export function basedInScope(
  hierarchies: readonly Hierarchy[],
  ownCgroup: string,
  scope: string,
): Hierarchy[] {
  const groups = groupsByControllers(ownCgroup);
  return hierarchies.map((hierarchy) => {
    const parts = (groups.get(hierarchy.controllers) ?? '').split('/');
    const at = parts.indexOf(scope);
    return at < 0 ? hierarchy : { ...hierarchy, base: parts.slice(0, at + 1).join('/') };
  });
}

/** The one of v2, alone or beside v1's. */
export const isUnified = (hierarchy: Hierarchy) => hierarchy.controllers === '';
/** A group's folder. */
export const pathIn = (hierarchy: Hierarchy, group: string) => join(hierarchy.mount, hierarchy.base, group);
const unifiedControllers = ['cpuset', 'cpu', 'io', 'memory', 'pids'];

/**
 * Makes a group such as `holdfast-1a2b3c4d/node1/node` in every hierarchy and answers its cgroup.procs
 * files. cpuset needs its files filled at each level before a process may enter.
 */
export async function makeGroup(hierarchies: readonly Hierarchy[], group: string): Promise<string[]> {
  for (const hierarchy of hierarchies) {
    let at = pathIn(hierarchy, '');
    for (const part of group.split('/')) {
      if (isUnified(hierarchy)) await delegate(at);
      const parent = at;
      at = join(at, part);
      await mkdir(at, { recursive: true });
      if (hasCpuset(hierarchy)) await fillCpuset(parent, at);
    }
  }
  return hierarchies.map((hierarchy) => join(pathIn(hierarchy, group), 'cgroup.procs'));
}

/**
 * Moves the processes of `group` into a child of it, `leaf`. v2 gives memory and io only to the children of a
 * group that has no process of its own: without this no container below it could be started.
 */
export async function emptyIntoLeaf(
  hierarchies: readonly Hierarchy[],
  group: string,
  leaf: string,
): Promise<void> {
  for (const hierarchy of hierarchies) {
    const parent = pathIn(hierarchy, group);
    const folder = join(parent, leaf);
    await mkdir(folder, { recursive: true });
    if (hasCpuset(hierarchy)) await fillCpuset(parent, folder);
    for (const pid of pidsIn(await readFile(join(parent, 'cgroup.procs'), 'utf8'))) {
      await writeFile(join(folder, 'cgroup.procs'), String(pid)).catch((error: unknown) => {
        if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error; // It ended meanwhile.
      });
    }
    if (isUnified(hierarchy)) await delegate(parent);
  }
}

/** The cgroup.procs files of the groups that a process is in now. */
export async function procsOf(hierarchies: readonly Hierarchy[], pid: number): Promise<string[]> {
  const groups = groupsByControllers(await readFile(`/proc/${pid}/cgroup`, 'utf8'));
  return hierarchies.flatMap((hierarchy) => {
    const group = groups.get(hierarchy.controllers);
    return group === undefined ? [] : [join(hierarchy.mount, group, 'cgroup.procs')];
  });
}

const pidsIn = (procs: string): number[] =>
  procs
    .split('\n')
    .filter((line) => line !== '')
    .map(Number);

/** Lets the children of a v2 group use what this host's v2 hierarchy has; beside v1 it has no controllers. */
async function delegate(group: string): Promise<void> {
  const there = (await readFile(join(group, 'cgroup.controllers'), 'utf8').catch(() => '')).trim().split(' ');
  const wanted = unifiedControllers.filter((name) => there.includes(name));
  if (wanted.length > 0)
    await writeFile(join(group, 'cgroup.subtree_control'), wanted.map((name) => `+${name}`).join(' '));
}

/** Every process of a group and of those below it. */
export async function processesOf(hierarchies: readonly Hierarchy[], group: string): Promise<number[]> {
  const pids = new Set<number>();
  for (const hierarchy of hierarchies) {
    for (const folder of await foldersBelow(pathIn(hierarchy, group))) {
      const text = await readFile(join(folder, 'cgroup.procs'), 'utf8').catch(() => '');
      for (const pid of pidsIn(text)) pids.add(pid);
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
  if (!(await pathExists(folder))) return [];
  const entries = await readdir(folder, { withFileTypes: true }).catch(() => []);
  const nested = await Promise.all(
    entries.filter((entry) => entry.isDirectory()).map((entry) => foldersBelow(join(folder, entry.name))),
  );
  return [folder, ...nested.flat()];
}

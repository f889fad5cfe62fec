import { readFile, readdir, readlink } from 'node:fs/promises';
import { join } from 'node:path';
import { findHierarchies } from '../../src/lib/cgroup-hierarchies.ts';
import { processesOf } from '../../src/standalone/machine/cgroups.ts';
import { loopsBelow } from '../../src/standalone/machine/loops.ts';

/** A process as the kernel has it; `identity` tells it from a later one with the same pid. */
export interface SeenProcess {
  readonly pid: number;
  readonly parent: number;
  readonly identity: string;
  readonly args: readonly string[];
}

export interface Traces {
  readonly processes: readonly SeenProcess[];
  /** Backing files of loops; a spare loop inside the node by its number. */
  readonly loops: readonly string[];
  readonly mounts: readonly string[];
  readonly links: readonly string[];
  readonly routes: readonly string[];
  readonly cgroups: readonly string[];
}

export const noTraces: Traces = { processes: [], loops: [], mounts: [], links: [], routes: [], cgroups: [] };

async function seen(pid: number): Promise<SeenProcess | undefined> {
  try {
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    if (fields[0] === 'Z' || fields[0] === 'X') return undefined;
    const args = (await readFile(`/proc/${pid}/cmdline`, 'utf8')).split('\0').slice(0, -1);
    return { pid, parent: Number(fields[1]), identity: `${pid} ${fields[19]}`, args };
  } catch {
    return undefined; // It ended while we looked.
  }
}

/**
 * Everything on this host that belongs to one instance. Its processes are those in its cgroup, those that
 * name a file of its folder, and those in its fabric's network namespace.
 */
export async function tracesOf(dataDir: string, instanceId: string): Promise<Traces> {
  const group = `holdfast-${instanceId}`;
  // At the top of each hierarchy, and in the scope that it has where systemd is PID 1.
  const scope = `/holdfast.slice/${group}.scope`;
  const hierarchies = (await findHierarchies()).flatMap((one) => [one, { ...one, base: scope }]);
  const inGroup = new Set(await processesOf(hierarchies, group));
  const own = await readlink('/proc/self/ns/net');
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name)).map(Number);
  const all = (await Promise.all(pids.map(seen))).filter((one) => one !== undefined);
  const namesFolder = (one: SeenProcess) => one.args.some((arg) => arg.includes(`${dataDir}/`));
  const fabric = await fabricNamespace(dataDir);
  const processes: SeenProcess[] = [];
  for (const one of all) {
    const net = await readlink(`/proc/${one.pid}/ns/net`).catch(() => own);
    if (inGroup.has(one.pid) || namesFolder(one) || (fabric !== undefined && net === fabric))
      processes.push(one);
  }
  const groups: string[] = [];
  for (const { mount, base } of hierarchies) {
    const names = await readdir(join(mount, base)).catch((): string[] => []);
    if (names.includes(group)) groups.push(join(mount, base, group));
  }
  const table = await readFile('/proc/self/mountinfo', 'utf8');
  const link = `hf${instanceId}`;
  const routes = (await readFile('/proc/net/route', 'utf8')).split('\n');
  return {
    processes,
    loops: [...(await loopsBelow(dataDir)).map(({ file }) => file), ...(await spareLoopsOf(dataDir))],
    mounts: table.split('\n').filter((line) => line.includes(dataDir)),
    links: (await readdir('/sys/class/net')).filter((name) => name === link),
    routes: routes.filter((line) => line.startsWith(`${link}\t`)),
    cgroups: groups,
  };
}

/** The network namespace that the fabric's recorded process holds, where it is still that process. */
async function fabricNamespace(dataDir: string): Promise<string | undefined> {
  const text = await readFile(join(dataDir, 'run/units/fabric.json'), 'utf8').catch(() => undefined);
  if (text === undefined) return undefined;
  const { identity } = JSON.parse(text) as { identity: { pid: number; startTicks: number } };
  const there = await seen(identity.pid);
  if (there?.identity !== `${identity.pid} ${identity.startTicks}`) return undefined;
  return await readlink(`/proc/${identity.pid}/ns/net`).catch(() => undefined);
}

/** Spare loops that are in use: attached volumes. The range is remembered by the caller's first look. */
const ranges = new Map<string, readonly number[]>();
async function spareLoopsOf(dataDir: string): Promise<string[]> {
  const nodes = await readdir(join(dataDir, 'nodes')).catch(() => []);
  for (const node of nodes) {
    const file = join(dataDir, 'nodes', node, 'spare-loops.json');
    const text = await readFile(file, 'utf8').catch(() => undefined);
    if (text !== undefined) ranges.set(dataDir, JSON.parse(text) as number[]);
  }
  const found: string[] = [];
  for (const index of ranges.get(dataDir) ?? []) {
    const backing = await readFile(`/sys/block/loop${index}/loop/backing_file`, 'utf8').catch(
      () => undefined,
    );
    if (backing !== undefined) found.push(`loop${index}`);
  }
  return found;
}

/** Those of `before` that still run: pids that were given to others meanwhile do not count. */
export async function stillRunning(before: readonly SeenProcess[]): Promise<SeenProcess[]> {
  const now = await Promise.all(before.map(({ pid }) => seen(pid)));
  return before.filter((one, index) => now[index]?.identity === one.identity);
}

/** Without children between fork and exec: these bear their parent's arguments, and are no second one of it. */
function executed(processes: readonly SeenProcess[]): SeenProcess[] {
  const argsOf = new Map(processes.map(({ pid, args }) => [pid, args.join('\0')]));
  return processes.filter(({ parent, args }) => argsOf.get(parent) !== args.join('\0'));
}

/** The processes of one program, such as `etcd`, wherever it stands. */
export const programs = (processes: readonly SeenProcess[], name: string): SeenProcess[] =>
  executed(processes).filter(({ args }) => args[0]?.split('/').at(-1) === name);

/** The processes of one role of the bundle, such as `csi`, `node`. */
export function withWords(processes: readonly SeenProcess[], ...words: readonly string[]): SeenProcess[] {
  return executed(processes).filter(({ args }) => {
    const bundle = args.findIndex((arg) => arg.endsWith('/holdfast.mjs'));
    const isItself = args[0]?.endsWith('/node') ?? false; // And not the nsenter that waits for it.
    return isItself && bundle >= 0 && words.every((word, index) => args[bundle + 1 + index] === word);
  });
}

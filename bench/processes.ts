import { readFile, readdir } from 'node:fs/promises';

export interface RunningProcess {
  readonly pid: number;
  readonly parent: number;
  readonly args: readonly string[];
}

export interface Usage {
  /** Proportional set size: shared pages count by their share. */
  readonly pssKib: number;
  /** User and system time since its start. */
  readonly cpuMs: number;
}

const msPerTick = 10; // USER_HZ is 100 on every architecture that Node runs on.

export async function listProcesses(): Promise<RunningProcess[]> {
  const found = await Promise.all(
    (await readdir('/proc')).filter((name) => /^\d+$/.test(name)).map((name) => readProcess(Number(name))),
  );
  return found.filter((one) => one !== undefined);
}

async function readProcess(pid: number): Promise<RunningProcess | undefined> {
  try {
    const args = (await readFile(`/proc/${pid}/cmdline`, 'utf8')).split('\0').slice(0, -1);
    const stat = parseStat(await readFile(`/proc/${pid}/stat`, 'utf8'));
    return { pid, parent: stat.parent, args };
  } catch {
    return undefined; // It ended while we looked.
  }
}

/** Everything below these processes, themselves included. */
export function withDescendants(
  all: readonly RunningProcess[],
  roots: ReadonlySet<number>,
): RunningProcess[] {
  const byPid = new Map(all.map((one) => [one.pid, one]));
  const isBelow = (one: RunningProcess): boolean => {
    const seen = new Set<number>();
    for (let at: RunningProcess | undefined = one; at && !seen.has(at.pid); at = byPid.get(at.parent)) {
      if (roots.has(at.pid)) return true;
      seen.add(at.pid);
    }
    return false;
  };
  return all.filter(isBelow);
}

/** `operator`, `csi controller`, `broker`: the role that a process of the bundle runs; else undefined. */
export function roleOf({ args }: Pick<RunningProcess, 'args'>): string | undefined {
  const at = args.findIndex((arg) => arg.endsWith('/holdfast.mjs'));
  if (at < 0) return undefined;
  const [role, kind] = args.slice(at + 1);
  return role === 'csi' ? `csi ${kind}` : role;
}

/** Parent and CPU time from /proc/PID/stat; the name in parentheses may hold anything. */
export function parseStat(stat: string): { parent: number; cpuMs: number } {
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return { parent: Number(fields[1]), cpuMs: (Number(fields[11]) + Number(fields[12])) * msPerTick };
}

/** The Pss line of smaps_rollup, in KiB. */
export function parsePss(rollup: string): number {
  const found = /^Pss:\s+(\d+) kB$/m.exec(rollup)?.[1];
  if (found === undefined) throw new Error('smaps_rollup has no Pss line');
  return Number(found);
}

export async function usageOf(pid: number): Promise<Usage> {
  const [rollup, stat] = await Promise.all([
    readFile(`/proc/${pid}/smaps_rollup`, 'utf8'),
    readFile(`/proc/${pid}/stat`, 'utf8'),
  ]);
  return { pssKib: parsePss(rollup), cpuMs: parseStat(stat).cpuMs };
}

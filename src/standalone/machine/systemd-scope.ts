import { access, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { findHierarchies, type Hierarchy } from '../../lib/cgroup-hierarchies.ts';
import type { Clock } from '../../lib/clock.ts';
import { withDeadline } from '../../lib/deadline.ts';
import { runCommand } from '../../lib/run-command.ts';
import { groupsByControllers } from './cgroups.ts';
import { pathExists } from '../../lib/path-exists.ts';

/**
 * Where systemd is PID 1, the cgroup tree is its own, and whatever is started from a login session ends with
 * that session where logind's KillUserProcesses says so. So an instance lives in a scope of its own, with
 * Delegate=yes: what is below it is then ours to divide. A scope, and not a service, for the instance's
 * processes outlive the one that started them; it is gone when the last of them is.
 */
export const scopeOf = (instanceId: string): string => `holdfast-${instanceId}.scope`;

const slice = 'holdfast.slice';
/** Where the instance's processes outside of nodes are: a group whose children have controllers may hold none. */
const hostLeaf = 'host';
const moveTimeoutMs = 10_000;
// A shutdown of the machine ends all of a scope at once, and containers' shims take no SIGTERM: without a limit of
// ours it would wait a minute and a half for them.
const stopTimeoutMs = 10_000;

type Property = readonly [name: string, signature: string, ...values: string[]];

/**
 * busctl's arguments for the start of the scope with `pid` as its first process. The slice is made along
 * with it, so that it goes with the last scope in it; where it is there already, systemd refuses to have it
 * described anew, and `withSlice` is to be false.
 */
export function startScopeArgs(instanceId: string, pid: number, withSlice: boolean): string[] {
  const scope: readonly Property[] = [
    ['Description', 's', `Holdfast instance ${instanceId}`],
    ['Slice', 's', slice],
    ['Delegate', 'b', 'true'],
    ['TasksMax', 't', String(2n ** 64n - 1n)], // Ceph has hundreds of threads a daemon.
    ['TimeoutStopUSec', 't', String(stopTimeoutMs * 1000)],
    ['CollectMode', 's', 'inactive-or-failed'],
    ['PIDs', 'au', '1', String(pid)],
  ];
  const made: readonly Property[] = [
    ['Description', 's', 'Holdfast instances'],
    ['StopWhenUnneeded', 'b', 'true'],
  ];
  const counted = (properties: readonly Property[]) => [String(properties.length), ...properties.flat()];
  return [
    '--quiet',
    'call',
    'org.freedesktop.systemd1',
    '/org/freedesktop/systemd1',
    'org.freedesktop.systemd1.Manager',
    'StartTransientUnit',
    'ssa(sv)a(sa(sv))',
    scopeOf(instanceId),
    'replace',
    ...counted(scope),
    ...(withSlice ? ['1', slice, ...counted(made)] : ['0']),
  ];
}

interface ScopeDeps {
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /** `/` but in tests. */
  readonly root?: string;
  readonly run?: typeof runCommand;
  readonly pid?: number;
}

/** What systemd has of this machine; undefined where it is not PID 1. */
async function findScope(instanceId: string, root: string): Promise<Scope | undefined> {
  const read = (path: string) => readFile(join(root, path), 'utf8');
  if ((await read('proc/1/comm').catch(() => '')).trim() !== 'systemd') return undefined;
  const hierarchies = await findHierarchies(await read('proc/self/mountinfo'));
  // systemd's own of v1, else the unified one.
  const hierarchy =
    hierarchies.find(({ controllers }) => controllers === 'name=systemd') ??
    hierarchies.find(({ controllers }) => controllers === '');
  return hierarchy && { hierarchy, folder: join(root, hierarchy.mount, slice, scopeOf(instanceId)) };
}

interface Scope {
  readonly hierarchy: Hierarchy;
  readonly folder: string;
}

/** Puts this process into the instance's scope, which is started where there is none. False without systemd. */
export async function enterScope(instanceId: string, deps: ScopeDeps): Promise<boolean> {
  const { clock, signal, root = '/', run = runCommand, pid = process.pid } = deps;
  const found = await findScope(instanceId, root);
  if (!found) return false;
  const { hierarchy, folder: scope } = found;
  const ownGroup = async () =>
    groupsByControllers(await readFile(join(root, 'proc/self/cgroup'), 'utf8')).get(hierarchy.controllers) ??
    '';
  const isInScope = async () => (await ownGroup()).split('/').includes(scopeOf(instanceId));

  // One that runs is joined: an earlier supervisor's processes are in it.
  if (!(await isInScope()) && !(await joinLeaf(scope, pid))) {
    await startScope(instanceId, pid, run, signal);
    await withDeadline('entering the scope', moveTimeoutMs, signal, async (own) => {
      while (!(await isInScope())) await clock.sleep(10, own);
    });
  }
  await mkdir(join(scope, hostLeaf), { recursive: true });
  await writeFile(join(scope, hostLeaf, 'cgroup.procs'), String(pid));
  return true;
}

/** Waits until systemd has taken the scope of an instance that ended away. It does so on its own, but later. */
export async function untilScopeGone(
  instanceId: string,
  { clock, signal, root = '/' }: Pick<ScopeDeps, 'clock' | 'signal' | 'root'>,
): Promise<void> {
  const scope = await findScope(instanceId, root);
  if (!scope) return;
  await withDeadline(`the end of ${scopeOf(instanceId)}`, moveTimeoutMs, signal, async (own) => {
    while (await pathExists(scope.folder)) await clock.sleep(20, own);
  });
}

async function startScope(
  instanceId: string,
  pid: number,
  run: typeof runCommand,
  signal: AbortSignal,
): Promise<void> {
  try {
    await run('busctl', startScopeArgs(instanceId, pid, true), { signal });
  } catch {
    signal.throwIfAborted();
    // Another instance has the slice; where that was not it, the second call says what is wrong.
    await run('busctl', startScopeArgs(instanceId, pid, false), { signal });
  }
}

/** False where the scope is not there, or is just going. */
async function joinLeaf(scope: string, pid: number): Promise<boolean> {
  try {
    await access(scope);
    await mkdir(join(scope, hostLeaf), { recursive: true });
    await writeFile(join(scope, hostLeaf, 'cgroup.procs'), String(pid));
    return true;
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === 'ENOENT' || code === 'ENODEV') return false;
    throw error;
  }
}

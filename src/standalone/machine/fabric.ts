import { readlink } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '../../lib/clock.ts';
import { identifyProcess, type ProcessIdentity } from '../../lib/process-identity.ts';
import { endProcess, spawnDetached } from '../../lib/detached-process.ts';
import { runIp } from './tree-tools.ts';

export interface FabricSpec {
  readonly tree: string;
  readonly instanceId: string;
  /** `10.245.0.1`: the host's address on the fabric, where the API listens. */
  readonly hostIp: string;
  readonly prefixLength: number;
  readonly logFile: string;
}

export interface MachineDeps {
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

/** Fifteen bytes are all that the kernel takes for a link's name. */
export const hostLink = (instanceId: string): string => `hf${instanceId}`;

/**
 * The network between nodes: a namespace that holds nothing but a bridge, and one link of it to the host.
 * Its first process holds the namespace; when that ends, bridge and links are gone.
 */
export async function startFabric(
  spec: FabricSpec,
  { clock, signal }: MachineDeps,
  spawned: (identity: ProcessIdentity) => Promise<void>,
): Promise<ProcessIdentity> {
  const { tree, hostIp, prefixLength } = spec;
  const link = hostLink(spec.instanceId);
  await removeHostLink(spec, signal);
  const holder = await spawnDetached({
    file: 'unshare',
    args: ['--net', '--', join(tree, 'usr/bin/catatonit'), '-P'],
    env: {},
    logFile: spec.logFile,
  });
  await spawned(holder);
  // catatonit is there once unshare has moved and become it; before, its namespace is the host's.
  await untilApart(holder.pid, clock, signal);
  const inFabric = { signal, inNetOf: holder.pid };
  await runIp(tree, ['link', 'set', 'lo', 'up'], inFabric);
  await runIp(tree, ['link', 'add', 'br0', 'type', 'bridge', 'forward_delay', '0'], inFabric);
  await runIp(tree, ['link', 'set', 'br0', 'up'], inFabric);
  await runIp(
    tree,
    ['link', 'add', link, 'type', 'veth', 'peer', 'name', 'host', 'netns', String(holder.pid)],
    { signal },
  );
  await runIp(tree, ['addr', 'add', `${hostIp}/${prefixLength}`, 'dev', link], { signal });
  await runIp(tree, ['link', 'set', link, 'up'], { signal });
  await runIp(tree, ['link', 'set', 'host', 'master', 'br0', 'up'], inFabric);
  return holder;
}

/** Ends the fabric. The kernel would take the links with the namespace, but at a time of its own. */
export async function stopFabric(
  spec: Pick<FabricSpec, 'tree' | 'instanceId'>,
  holder: ProcessIdentity | undefined,
  signal: AbortSignal,
): Promise<void> {
  await removeHostLink(spec, signal);
  await endProcess(holder, 2000, signal);
}

/** The host's end goes with the namespace; this is for one that a half-made start left. */
async function removeHostLink(
  spec: Pick<FabricSpec, 'tree' | 'instanceId'>,
  signal: AbortSignal,
): Promise<void> {
  await runIp(spec.tree, ['link', 'del', hostLink(spec.instanceId)], { signal }).catch(() => undefined);
}

async function untilApart(pid: number, clock: Clock, signal: AbortSignal): Promise<void> {
  const own = await readlink('/proc/self/ns/net');
  while ((await readlink(`/proc/${pid}/ns/net`)) === own) {
    if (!(await identifyProcess(pid))) throw new Error('the holder of the fabric ended while it started');
    await clock.sleep(2, signal);
  }
}

import { mkdir, readFile, readlink } from 'node:fs/promises';
import { join } from 'node:path';
import { findHierarchies, type Hierarchy } from '../../lib/cgroup-hierarchies.ts';
import { isRunning, type ProcessIdentity } from '../../lib/process-identity.ts';
import { runCommand, type CommandResult } from '../../lib/run-command.ts';
import { spawnDetached } from '../../lib/detached-process.ts';
import { basedInScope, emptyIntoLeaf, makeGroup, procsOf, removeGroup } from './cgroups.ts';
import { onlyChild } from './children.ts';
import { guardDevices } from './device-guard.ts';
import { writeNodeFiles } from './node-files.ts';
import { attachDisks, detachDisks, releaseSpareLoops, reserveSpareLoops } from './loops.ts';
import type { MachineDeps } from './fabric.ts';
import { abortFuse, fuseConnections } from './fuse.ts';
import { hostLink } from './fabric.ts';
import { scopeOf } from './systemd-scope.ts';
import { runIp } from './tree-tools.ts';

export interface NodeSpec {
  readonly name: string;
  /** From 1; gives the node's address, pod range and spare loops. */
  readonly number: number;
  readonly instanceId: string;
  readonly tree: string;
  /** `<data>/nodes/<name>` */
  readonly folder: string;
  readonly releases: string;
  /** Where join-and-run.sh and node-init.sh lie. */
  readonly scripts: string;
  readonly disks: number;
  readonly diskSizeBytes: number;
  readonly ip: string;
  readonly prefixLength: number;
  /** The host's address on the fabric. */
  readonly gateway: string;
  readonly podCidr: string;
  readonly serviceCidr: string;
  /** Pod ranges of the other nodes and their addresses. */
  readonly peers: readonly { readonly podCidr: string; readonly ip: string }[];
}

const spareLoops = 64;
const namespaces = ['--cgroup', '--mount', '--uts', '--ipc', '--net', '--pid'];

const instanceGroup = (instanceId: string) => `holdfast-${instanceId}`;
const groupOf = (spec: Pick<NodeSpec, 'instanceId' | 'name'>) =>
  `${instanceGroup(spec.instanceId)}/${spec.name}`;

// Below the node's root group, beside those of its containers: its first process, containerd and the agent.
const systemLeaf = 'system';

async function ownHierarchies(instanceId: string): Promise<Hierarchy[]> {
  const own = await readFile('/proc/self/cgroup', 'utf8');
  return basedInScope(await findHierarchies(), own, scopeOf(instanceId));
}

/** Wherever groups of ours may be: a node that was started outside of the scope goes on there until it ends. */
async function removeEverywhere(instanceId: string, group: string, deps: MachineDeps): Promise<void> {
  const own = await ownHierarchies(instanceId);
  const atTop = own.filter(({ base }) => base !== '').map((hierarchy) => ({ ...hierarchy, base: '' }));
  await removeGroup([...own, ...atTop], group, deps);
}
const layoutOf = (hierarchies: readonly Hierarchy[]) =>
  hierarchies.some((one) => one.controllers !== '') ? 'v1' : 'v2';

/**
 * Starts a virtual node: namespaces, a root made of the tree, its own devices, cgroups and link. Answers
 * its first process; everything of the node ends with that one.
 */
export async function startNode(
  spec: NodeSpec,
  deps: MachineDeps & { readonly fabric: ProcessIdentity },
  spawned: (identity: ProcessIdentity) => Promise<void>,
): Promise<ProcessIdentity> {
  const { signal } = deps;
  const at = (name: string) => join(spec.folder, name);
  for (const name of ['upper', 'work', 'root', 'containerd', 'kubelet', 'rook', 'log', 'run']) {
    await mkdir(at(name), { recursive: true, mode: 0o755 });
  }
  await writeNodeFiles(spec);
  const disks = await attachDisks(at('disks'), spec.disks, spec.diskSizeBytes, signal);
  const seed = Number.parseInt(spec.instanceId, 16) + spec.number;
  const spares = await reserveSpareLoops(spec.folder, seed, spareLoops);
  const hierarchies = await ownHierarchies(spec.instanceId);
  const group = groupOf(spec);
  const procs = await makeGroup(hierarchies, `${group}/node`);
  const own = new Set([...disks.map((disk) => disk.index), ...spares]);
  await guardDevices(hierarchies, group, own, { tree: spec.tree, signal });

  const launcher = await spawnDetached({
    file: '/bin/sh',
    args: [
      join(spec.scripts, 'join-and-run.sh'),
      ...procs,
      '--',
      'unshare',
      ...namespaces,
      '--fork',
      '--kill-child',
      '--propagation',
      'private',
      '/bin/sh',
      join(spec.scripts, 'node-init.sh'),
    ],
    env: {
      PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
      TREE: spec.tree,
      NODE: spec.folder,
      RELEASES: spec.releases,
      HOSTNAME: spec.name,
      DISKS: disks.map((disk) => disk.index).join(' '),
      SPARE_BASE: String(spares[0]),
      SPARE_COUNT: String(spares.length),
      CGROUPS: hierarchies.map((one) => one.controllers || 'unified').join(' '),
      LAYOUT: layoutOf(hierarchies),
    },
    logFile: join(spec.folder, 'init.log'),
  });
  const init = await onlyChild(launcher, deps);
  await spawned(init);
  await untilRooted(init, spec, deps);
  await emptyIntoLeaf(hierarchies, `${group}/node`, systemLeaf);
  await connectNode(spec, init, deps);
  return init;
}

/** The node's root is in place once its first process has become catatonit. */
async function untilRooted(
  init: ProcessIdentity,
  spec: NodeSpec,
  { clock, signal }: MachineDeps,
): Promise<void> {
  for (;;) {
    const program = await readlink(`/proc/${init.pid}/exe`).catch(() => '');
    if (program.endsWith('/catatonit')) return;
    if (!(await isRunning(init)))
      throw new Error(`node ${spec.name} could not be built; see ${join(spec.folder, 'init.log')}`);
    await clock.sleep(5, signal);
  }
}

async function connectNode(
  spec: NodeSpec,
  init: ProcessIdentity,
  deps: MachineDeps & { readonly fabric: ProcessIdentity },
): Promise<void> {
  const { signal, fabric } = deps;
  const { tree, ip, gateway } = spec;
  const inNode = { signal, inNetOf: init.pid };
  const inFabric = { signal, inNetOf: fabric.pid };
  // The fabric may still hold the link of a node that ended a moment ago.
  await runIp(tree, ['link', 'del', spec.name], inFabric).catch(() => undefined);
  await runIp(
    tree,
    ['link', 'add', spec.name, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', String(init.pid)],
    inFabric,
  );
  await runIp(tree, ['link', 'set', spec.name, 'master', 'br0', 'up'], inFabric);
  await runIp(tree, ['link', 'set', 'lo', 'up'], inNode);
  await runIp(tree, ['addr', 'add', `${ip}/${spec.prefixLength}`, 'dev', 'eth0'], inNode);
  await runIp(tree, ['link', 'set', 'eth0', 'up'], inNode);
  // A ClusterIP is translated on its way out, and only what has a route gets that far.
  await runIp(tree, ['route', 'add', spec.serviceCidr, 'via', gateway], inNode);
  for (const peer of spec.peers) await runIp(tree, ['route', 'add', peer.podCidr, 'via', peer.ip], inNode);
  // Inside only: the host's own forwarding stays as it was.
  await enter(init, ['/sbin/sysctl', '--quiet', '--write', 'net.ipv4.ip_forward=1'], { signal });
  await runIp(tree, ['route', 'replace', spec.podCidr, 'via', ip, 'dev', hostLink(spec.instanceId)], {
    signal,
  });
  // ClusterIPs mean something in nodes only: the host reaches them through the first one, such as an operator
  // that runs in a terminal.
  if (spec.number === 1) {
    const link = hostLink(spec.instanceId);
    await runIp(tree, ['route', 'replace', spec.serviceCidr, 'via', ip, 'dev', link], { signal });
  }
}

export interface EnterOptions {
  readonly signal: AbortSignal;
  readonly timeoutMs?: number;
  readonly input?: string;
}

const nsenterArgs = (init: ProcessIdentity) => ['--target', String(init.pid), '--all', '--'];

/** Runs a program inside the node to its end. */
export async function enter(
  init: ProcessIdentity,
  command: readonly string[],
  options: EnterOptions,
): Promise<CommandResult> {
  return await runCommand('nsenter', [...nsenterArgs(init), ...command], options);
}

export interface NodeProcess {
  readonly command: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** On the host. */
  readonly logFile: string;
}

/** Starts a program inside the node, in the groups of its first process, that outlives us. Answers the program's own identity. */
export async function spawnInNode(
  spec: Pick<NodeSpec, 'instanceId' | 'name' | 'scripts'>,
  init: ProcessIdentity,
  program: NodeProcess,
  deps: MachineDeps,
): Promise<ProcessIdentity> {
  const procs = await procsOf(await findHierarchies(), init.pid);
  const parent = await spawnDetached({
    file: '/bin/sh',
    args: [
      join(spec.scripts, 'join-and-run.sh'),
      ...procs,
      '--',
      'nsenter',
      ...nsenterArgs(init),
      ...program.command,
    ],
    env: { PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', ...program.env },
    logFile: program.logFile,
  });
  return await onlyChild(parent, deps);
}

/** Ends a node and takes down what it had: processes, cgroups, link, loops. Its data stays. */
export async function stopNode(
  spec: Pick<NodeSpec, 'instanceId' | 'name' | 'folder' | 'tree' | 'podCidr'>,
  init: ProcessIdentity | undefined,
  deps: MachineDeps,
): Promise<void> {
  const { signal, clock } = deps;
  await abortFuse(await fuseConnections(init, spec.folder), spec.folder, signal);
  await removeEverywhere(spec.instanceId, groupOf(spec), deps);
  const isThere = async () => init !== undefined && (await isRunning(init));
  while (await isThere()) await clock.sleep(10, signal);
  // By its link: another instance may have the same range since this one was down.
  const route = ['route', 'del', spec.podCidr, 'dev', hostLink(spec.instanceId)];
  await runIp(spec.tree, route, { signal }).catch(() => undefined);
  await detachDisks(join(spec.folder, 'disks'), signal);
  await releaseSpareLoops(spec.folder, spec.tree, signal);
}

/** Removes the instance's cgroup root once its nodes are gone. */
export async function removeInstanceGroup(instanceId: string, deps: MachineDeps): Promise<void> {
  await removeEverywhere(instanceId, instanceGroup(instanceId), deps);
}

import { join } from 'node:path';
import { isRunning, type ProcessIdentity } from '../../lib/process-identity.ts';
import type { MachineDeps } from './fabric.ts';
import { enter, spawnInNode, type NodeSpec } from './virtual-node.ts';
import { pathExists } from '../../lib/path-exists.ts';

const socket = '/run/containerd/containerd.sock';

/** The node's socket as the host sees it, through the node's first process. */
export const containerdSocket = (init: ProcessIdentity): string => `/proc/${init.pid}/root${socket}`;

/** Starts containerd inside the node and waits until it answers. Its containers outlive it. */
export async function startContainerd(
  spec: Pick<NodeSpec, 'instanceId' | 'name' | 'scripts' | 'folder'>,
  init: ProcessIdentity,
  deps: MachineDeps,
  spawned: (identity: ProcessIdentity) => Promise<void>,
): Promise<ProcessIdentity> {
  const logFile = join(spec.folder, 'log', 'containerd.log');
  const command = ['/usr/bin/containerd', '--config', '/etc/containerd/config.toml'];
  const identity = await spawnInNode(spec, init, { command, env: {}, logFile }, deps);
  await spawned(identity);
  for (;;) {
    if (await answers(init, deps.signal)) return identity;
    if (!(await isRunning(identity))) throw new Error(`containerd ended while it started; see ${logFile}`);
    await deps.clock.sleep(10, deps.signal);
  }
}

async function answers(init: ProcessIdentity, signal: AbortSignal): Promise<boolean> {
  if (!(await pathExists(containerdSocket(init)))) return false;
  return await enter(init, ['/usr/bin/ctr', 'version'], { signal, timeoutMs: 5000 }).then(
    () => true,
    () => false,
  );
}

/** The names of the images that the node's containerd has for Kubernetes. */
export async function importedImages(init: ProcessIdentity, signal: AbortSignal): Promise<Set<string>> {
  const { stdout } = await enter(init, ['/usr/bin/ctr', '-n', 'k8s.io', 'images', 'ls', '-q'], { signal });
  return new Set(stdout.split('\n').filter((line) => line !== ''));
}

/** Imports an OCI archive; `path` is one of the node's own. CRI itself knows no import. */
export async function importImage(init: ProcessIdentity, path: string, signal: AbortSignal): Promise<void> {
  await enter(init, ['/usr/bin/ctr', '-n', 'k8s.io', 'images', 'import', '--digests', path], {
    signal,
    timeoutMs: 60_000,
  });
}

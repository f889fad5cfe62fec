import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { KubeClient } from '../kube/client.ts';
import { systemClock, type Clock } from '../lib/clock.ts';
import type { Interruption } from '../lib/interruption.ts';
import type { Logger } from '../lib/log.ts';

/** The surroundings of a role, as main.ts read them. */
export interface RoleSettings {
  /** The folder of the running bundle, and the bundle in it. */
  readonly dist: string;
  readonly bundle: string;
  /** Where unpacked packages are kept. */
  readonly cacheDir: string;
  readonly logLevel: string;
  /** The pod that this process is in; nothing outside a cluster. */
  readonly pod: { readonly name: string | undefined; readonly namespace: string | undefined };
  /** Where a pod finds the API server. */
  readonly apiServer: { readonly host: string; readonly port: string };
  readonly images: { readonly holdfast: string; readonly ceph: string };
  version(): Promise<string>;
}

/** The process that a role runs in. */
export interface RoleProcess {
  readonly settings: RoleSettings;
  readonly interruption: Interruption;
}

/** What every role is built from. */
export interface RoleDeps {
  readonly clock: Clock;
  readonly log: Logger;
  readonly signal: AbortSignal;
}

/** Runs a long-lived role: logs why it ended, and ends the process. */
export async function runRole(
  { settings, interruption }: RoleProcess,
  name: string,
  body: (deps: RoleDeps) => Promise<void>,
): Promise<void> {
  const { signal } = interruption;
  interruption.listen();
  const { createLogger } = await import('../lib/log.ts');
  const log = createLogger(name, { level: settings.logLevel });
  try {
    await body({ clock: systemClock, log, signal });
    if (signal.aborted) log.info('stopped');
  } catch (error) {
    if (!signal.aborted) {
      log.fatal({ err: error }, 'ended by an error');
      process.exitCode = 1;
    }
  }
  process.exit();
}

/** The configuration of a pod, or of a file for a role that runs outside. */
export async function kubeClientFor(
  { apiServer }: RoleSettings,
  fieldManager: string,
  kubeconfig?: string,
): Promise<{ client: KubeClient; namespace: string | undefined }> {
  const { inClusterConfig, loadKubeConfig } = await import('../kube/kubeconfig.ts');
  const { createKubeClient } = await import('../kube/undici-client.ts');
  const config = kubeconfig ? await loadKubeConfig(kubeconfig) : await inClusterConfig(apiServer);
  return {
    client: createKubeClient(config, { clock: systemClock, fieldManager }),
    namespace: config.namespace,
  };
}

/**
 * A pod's name is its own: the container that starts again in it takes its Lease up at once, for the one
 * before is gone. Outside, two processes of one machine must not take each other for themselves.
 */
export const leaderIdentity = ({ pod }: RoleSettings): string =>
  pod.name ?? `outside-${process.pid}-${Date.now()}`;

/** Opens Ceph clusters through broker children of this very bundle. */
export async function cephOpener({ bundle }: RoleSettings, log: Logger, libraryPath: readonly string[] = []) {
  const { openCeph } = await import('../ceph/open-ceph.ts');
  const { brokerSpawner } = await import('../ceph/broker/spawn-broker.ts');
  const spawnBroker = brokerSpawner({ command: process.execPath, args: [bundle, 'broker'], libraryPath });
  return (connection: Parameters<typeof openCeph>[0]) =>
    openCeph(connection, { spawnBroker, clock: systemClock, log });
}

/** Outside a pod librados may not be installed; the unpacked packages have it. */
export async function treeLibraries({ cacheDir }: RoleSettings): Promise<string[]> {
  const text = await readFile(join(cacheDir, 'tree.json'), 'utf8').catch(() => undefined);
  if (text === undefined) return [];
  const { path } = JSON.parse(text) as { path: string };
  const libraries = join(path, 'usr/lib/x86_64-linux-gnu');
  return [libraries, join(libraries, 'ceph')];
}

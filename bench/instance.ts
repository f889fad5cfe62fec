import { spawn } from 'node:child_process';
import { access, readFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { brokerEnvironment, type SpawnBroker } from '../src/ceph/broker/spawn-broker.ts';
import { openCeph } from '../src/ceph/open-ceph.ts';
import type { Ceph } from '../src/ceph/seam.ts';
import { Secrets } from '../src/api/core.ts';
import type { KubeClient } from '../src/kube/client.ts';
import { loadKubeConfig } from '../src/kube/kubeconfig.ts';
import { createKubeClient } from '../src/kube/undici-client.ts';
import { systemClock } from '../src/lib/clock.ts';
import { silentLogger } from '../src/lib/log.ts';
import type { ProcessIdentity } from '../src/lib/process-identity.ts';
import { runCommand } from '../src/lib/run-command.ts';
import { readInstance, type OpenInstance } from '../src/standalone/instance.ts';
import { layout, type Layout } from '../src/standalone/layout.ts';
import { findCephTree } from '../test/support/ceph-tree.ts';
import { listProcesses, roleOf, usageOf, withDescendants, type RunningProcess } from './processes.ts';

export interface BenchInstance {
  readonly dataDir: string;
  readonly places: Layout;
  readonly client: KubeClient;
  readonly config: OpenInstance['config'];
  /** Every process of the instance that is there now, Ceph's and containerd's among them. */
  processes(): Promise<RunningProcess[]>;
  /** Pid of the node's init. */
  nodeInit(): Promise<number>;
  /** Runs a verb of the bundle on this instance; answers what it printed. */
  holdfast(verb: readonly string[], signal: AbortSignal): Promise<string>;
}

export interface InstanceOptions {
  /** The bundle to measure. */
  readonly bundle: string;
  readonly dataDir: string;
  readonly env: Readonly<Record<string, string>>;
  readonly signal: AbortSignal;
}

const verbLimitMs = 180_000;
const node = 'node1';

/** Brings an instance up for `body`, and takes it down with all its data whatever happens. */
export async function withInstance(
  { bundle, dataDir, env, signal }: InstanceOptions,
  body: (instance: BenchInstance) => Promise<void>,
): Promise<void> {
  const places = layout(dataDir);
  const holdfast = async (verb: readonly string[], own: AbortSignal) =>
    (
      await runCommand(process.execPath, [bundle, ...verb, '--data-dir', dataDir], {
        signal: own,
        env,
        timeoutMs: verbLimitMs,
      })
    ).stdout;
  // What a run that was killed left behind would be measured as fresh.
  const purge = () => holdfast(['down', '--purge'], AbortSignal.timeout(verbLimitMs));
  if (await exists(dataDir)) await purge();
  try {
    await holdfast(['up'], signal);
    const instance = await readInstance(dataDir);
    if (!instance) throw new Error(`holdfast up left no instance in ${dataDir}`);
    const client = createKubeClient(await loadKubeConfig(places.kubeconfig), { fieldManager: 'bench' });
    try {
      await body(describe({ dataDir, places, client, config: instance.config, holdfast }));
    } finally {
      await client.close();
    }
  } catch (error) {
    // Why it failed is what people want to know, also where the purge then fails.
    await purge().catch((cause: unknown) => process.stderr.write(`${String(cause)}\n`));
    throw error;
  }
  await purge();
}

function describe(
  known: Pick<BenchInstance, 'dataDir' | 'places' | 'client' | 'config' | 'holdfast'>,
): BenchInstance {
  const { dataDir, places } = known;
  const nodeInit = async () => {
    const text = await readFile(join(places.records, `${node}-init.json`), 'utf8');
    return (JSON.parse(text) as { identity: ProcessIdentity }).identity.pid;
  };
  return {
    ...known,
    nodeInit,
    async processes() {
      const all = await listProcesses();
      const roots = all.filter(({ args }) => args.some((arg) => arg.startsWith(`${dataDir}/`)));
      return withDescendants(all, new Set([...roots.map(({ pid }) => pid), await nodeInit()]));
    },
  };
}

/** A connection of ours to the cluster in the instance, as the CSI provisioner's user. */
export async function openInstanceCeph(instance: BenchInstance, signal: AbortSignal): Promise<Ceph> {
  const [config, user] = await Promise.all([
    secret(instance, 'rook-ceph-config', signal),
    secret(instance, 'rook-csi-rbd-provisioner', signal),
  ]);
  return openCeph(
    {
      monHost: config.get('mon_host') ?? '',
      user: `client.${user.get('userID')}`,
      key: user.get('userKey') ?? '',
    },
    { spawnBroker: await brokerInNode(instance), clock: systemClock, log: silentLogger },
  );
}

/** The decoded fields of a Secret in rook-ceph. */
export async function secret(
  { client }: BenchInstance,
  name: string,
  signal: AbortSignal,
): Promise<ReadonlyMap<string, string>> {
  const found = await client.get(Secrets, { namespace: 'rook-ceph', name }, { signal });
  if (!found) throw new Error(`Secret rook-ceph/${name} is not there`);
  return new Map(
    Object.entries(found.data ?? {}).map(([key, value]) => [key, Buffer.from(value, 'base64').toString()]),
  );
}

/** The mons' addresses are ClusterIPs, which only the node's own network knows. */
async function brokerInNode(instance: BenchInstance): Promise<SpawnBroker> {
  const tree = await findCephTree();
  const init = await instance.nodeInit();
  const bundle = (await instance.processes())
    .flatMap(({ args }) => args)
    .find((arg) => arg.startsWith(instance.places.releases) && arg.endsWith('/holdfast.mjs'));
  if (!bundle) throw new Error('no process of the instance runs its bundle');
  return () =>
    spawn('nsenter', [`--net=/proc/${init}/ns/net`, '--', process.execPath, bundle, 'broker'], {
      stdio: ['pipe', 'ignore', 'pipe', 'pipe'],
      env: brokerEnvironment(tree.libraryPath),
    });
}

/** CPU time by role, Ceph and containerd under their own names: where a measure's time went. */
export async function cpuByRole(instance: BenchInstance): Promise<ReadonlyMap<string, number>> {
  const sums = new Map<string, number>();
  for (const one of await instance.processes()) {
    const name = roleOf(one) ?? basename(one.args[0] ?? '');
    const usage = await usageOf(one.pid).catch(() => undefined); // It may have ended.
    if (usage && name !== '') sums.set(name, (sums.get(name) ?? 0) + usage.cpuMs);
  }
  return sums;
}

/** `server 3.1 s, ceph-osd 1.2 s`: who worked between two looks, the busiest first. */
export function whoWorked(before: ReadonlyMap<string, number>, after: ReadonlyMap<string, number>): string {
  return [...after]
    .map(([name, ms]) => ({ name, ms: ms - (before.get(name) ?? 0) }))
    .filter(({ ms }) => ms >= 50)
    .sort((a, b) => b.ms - a.ms)
    .map(({ name, ms }) => `${name} ${(ms / 1000).toFixed(2)} s`)
    .join(', ');
}

/** Looks until `test` is content; fails, naming `what`, after `timeoutMs`. */
export async function until(
  what: string,
  timeoutMs: number,
  signal: AbortSignal,
  test: () => Promise<boolean>,
  everyMs = 50,
): Promise<void> {
  const giveUpMs = Date.now() + timeoutMs;
  while (!(await test())) {
    signal.throwIfAborted();
    if (Date.now() > giveUpMs) throw new Error(`${what} took longer than ${timeoutMs / 1000} s`);
    await sleep(everyMs, undefined, { signal });
  }
}

const exists = (path: string) =>
  access(path).then(
    () => true,
    () => false,
  );

import { randomUUID } from 'node:crypto';
import { mkdir, mkdtemp, open, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { formatKeyring } from '../../src/ceph/auth.ts';
import { newCephxKey } from '../../src/ceph/cephx-key.ts';
import { isCephError } from '../../src/ceph/errors.ts';
import { allPgsClean, readStatus } from '../../src/ceph/mon.ts';
import { openCeph } from '../../src/ceph/open-ceph.ts';
import { registerOsd } from '../../src/ceph/osd.ts';
import { createPool, enableApplication } from '../../src/ceph/pools.ts';
import type { Ceph, CephConnection } from '../../src/ceph/seam.ts';
import type { SpawnBroker } from '../../src/ceph/broker/spawn-broker.ts';
import { systemClock } from '../../src/lib/clock.ts';
import { silentLogger } from '../../src/lib/log.ts';
import type { ProcessIdentity } from '../../src/lib/process-identity.ts';
import { clusterConf } from './ceph-cluster-conf.ts';
import { cephDaemons, type CephDaemons } from './ceph-daemons.ts';
import { findCephTree, type CephTree } from './ceph-tree.ts';
import { testBrokerSpawner } from './test-broker.ts';
import { testFolder } from './test-folder.ts';

export interface CephClusterOptions {
  readonly mons?: number;
  readonly osds?: number;
  /** Replicated pools of size 3, or as many copies as there are OSDs. */
  readonly pools?: readonly string[];
  /** Mons listen on this port and the next ones; everything stays on 127.0.0.1. A free one where not said. */
  readonly basePort?: number;
  readonly folder?: string;
  readonly settings?: Readonly<Record<string, string>>;
}

/** A bare real cluster on loopback, without systemd, containers or an operator. */
export interface CephCluster {
  readonly fsid: string;
  readonly dir: string;
  readonly connection: CephConnection;
  readonly tree: CephTree;
  readonly spawnBroker: SpawnBroker;
  /** As client.admin; closed by `stop`. */
  readonly ceph: Ceph;
  /** How long it took until all PGs were clean. */
  readonly upMs: number;
  /** `osd.0`, `mon.a`, `mgr.x` */
  readonly daemons: ReadonlyMap<string, ProcessIdentity>;
  signal(daemon: string, signal: NodeJS.Signals): Promise<void>;
  /** Another connection, with a broker of its own. */
  connect(user?: Pick<CephConnection, 'user' | 'key'>): ReturnType<typeof openCeph>;
  stop(): Promise<void>;
}

const upLimitMs = 90_000;
const portsPerCluster = 60;

/** What a cluster is made from: decided before anything starts. */
interface ClusterPlan {
  readonly dir: string;
  readonly tree: CephTree;
  readonly basePort: number;
  readonly connection: CephConnection & { readonly fsid: string };
  readonly mons: readonly { readonly name: string; readonly address: string }[];
  readonly osds: readonly { readonly id: number; readonly uuid: string; readonly key: string }[];
  readonly pools: readonly string[];
  readonly settings: Readonly<Record<string, string>>;
}

const newKey = () => newCephxKey(Date.now());

async function planCluster(options: CephClusterOptions): Promise<ClusterPlan> {
  const { mons: count = 1, osds = 3, pools = ['rbd'], folder = testFolder, settings = {} } = options;
  const tree = await findCephTree();
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const basePort = options.basePort ?? (await freePorts());
  const mons = ['a', 'b', 'c', 'd', 'e'].slice(0, count).map((name, at) => ({
    name,
    address: `[v2:127.0.0.1:${basePort + at},v1:127.0.0.1:${basePort + 10 + at}]`,
  }));
  return {
    dir: await mkdtemp(join(folder, 'cluster-')),
    tree,
    basePort,
    connection: {
      monHost: mons.map(({ address }) => address).join(','),
      user: 'client.admin',
      key: newKey(),
      fsid: randomUUID(),
    },
    mons,
    osds: Array.from({ length: osds }, (_, id) => ({ id, uuid: randomUUID(), key: newKey() })),
    pools,
    settings,
  };
}

export async function startCephCluster(options: CephClusterOptions = {}): Promise<CephCluster> {
  const startedMs = Date.now();
  const plan = await planCluster(options);
  const { dir, tree, connection } = plan;
  const spawnBroker = await testBrokerSpawner(tree);
  const connect: CephCluster['connect'] = (user) =>
    openCeph({ ...connection, ...user }, { spawnBroker, clock: systemClock, log: silentLogger });
  const ceph = connect();
  const signal = AbortSignal.timeout(upLimitMs);
  const daemons = cephDaemons(dir, tree, signal);
  const stop = async () => {
    await ceph.close();
    await daemons.stop();
    await rm(dir, { recursive: true, force: true });
  };
  try {
    await writeFiles(plan);
    await startDaemons(plan, daemons, ceph, signal);
    await makePools(plan, ceph, signal);
  } catch (error) {
    const logs = await daemons.tails();
    await stop();
    throw new Error(`the Ceph cluster did not come up: ${String(error)}\n${logs}`, { cause: error });
  }
  return {
    fsid: connection.fsid,
    dir,
    connection,
    tree,
    spawnBroker,
    ceph,
    upMs: Date.now() - startedMs,
    daemons: daemons.running,
    signal: daemons.signal,
    connect,
    stop,
  };
}

/** Folders, configuration and keys. */
async function writeFiles({ dir, tree, basePort, connection, mons, osds, settings }: ClusterPlan) {
  const { fsid, monHost } = connection;
  for (const path of ['log', 'run', 'crash', 'mgr/x', ...mons.map(({ name }) => `mon/${name}`)])
    await mkdir(join(dir, path), { recursive: true });
  const conf = clusterConf({ dir, fsid, tree, osds: osds.length, monHost, basePort, settings });
  await writeFile(join(dir, 'ceph.conf'), conf);
  const mgrKey = newKey();
  const users = [
    { entity: 'mon.', key: newKey(), caps: { mon: 'allow *' } },
    {
      entity: 'client.admin',
      key: connection.key,
      caps: { mon: 'allow *', osd: 'allow *', mds: 'allow *', mgr: 'allow *' },
    },
    { entity: 'mgr.x', key: mgrKey, caps: { mon: 'allow profile mgr', osd: 'allow *', mds: 'allow *' } },
  ];
  await writeKeyring(join(dir, 'mon.keyring'), users);
  await writeKeyring(join(dir, 'mgr/x/keyring'), [{ entity: 'mgr.x', key: mgrKey, caps: {} }]);
}

const writeKeyring = (path: string, users: Parameters<typeof formatKeyring>[0]) =>
  writeFile(path, formatKeyring(users), { mode: 0o600 });

/** Mons, mgr and OSDs, until all OSDs are up. */
async function startDaemons(plan: ClusterPlan, daemons: CephDaemons, ceph: Ceph, signal: AbortSignal) {
  const { dir, mons, osds, connection } = plan;
  const monmap = join(dir, 'monmap');
  const addresses = mons.flatMap(({ name, address }) => ['--addv', name, address]);
  const release = ['--set-min-mon-release', 'pacific'];
  await daemons.run('monmaptool', ['--create', ...addresses, '--fsid', connection.fsid, ...release, monmap]);
  // The OSDs' mkfs needs no mon, so it runs beside the mons' start.
  const made = Promise.all(osds.map((osd) => makeOsd(dir, osd, monmap, daemons)));
  made.catch(() => undefined);
  const keyring = join(dir, 'mon.keyring');
  for (const { name } of mons) {
    await daemons.run('ceph-mon', ['-i', name, '--mkfs', '--monmap', monmap, '--keyring', keyring]);
    await daemons.start(`mon.${name}`);
  }
  await daemons.start('mgr.x');
  await made;
  await until(signal, async () => Boolean(await readStatus(ceph, signal)));
  for (const osd of osds) {
    await registerOsd(ceph, osd, signal);
    const setClass = { prefix: 'osd crush set-device-class', class: 'ssd', ids: [String(osd.id)] };
    await ceph.mon(setClass, z.unknown(), { signal });
    await daemons.start(`osd.${osd.id}`);
  }
  await until(signal, async () => (await readStatus(ceph, signal)).osds.up === osds.length);
}

async function makeOsd(
  dir: string,
  { id, uuid, key }: ClusterPlan['osds'][number],
  monmap: string,
  daemons: CephDaemons,
): Promise<void> {
  const folder = join(dir, `osd/${id}`);
  await mkdir(folder, { recursive: true });
  await writeKeyring(join(folder, 'keyring'), [{ entity: `osd.${id}`, key, caps: {} }]);
  const block = await open(join(folder, 'block'), 'w');
  await block.truncate(10 * 1024 ** 3);
  await block.close();
  const name = ['-i', String(id), '--osd-uuid', uuid];
  await daemons.run('ceph-osd', [...name, '--mkfs', '--no-mon-config', '--monmap', monmap]);
}

/** Pools for RBD, until every PG of them is clean. */
async function makePools({ pools, osds }: ClusterPlan, ceph: Ceph, signal: AbortSignal): Promise<void> {
  for (const pool of pools) {
    await createPool(ceph, pool, { size: Math.min(3, osds.length), pgNum: 8 }, signal);
    await enableApplication(ceph, pool, 'rbd', signal);
  }
  await until(signal, async () => {
    const status = await readStatus(ceph, signal);
    if (osds.length === 0) return true;
    return status.pools >= pools.length && allPgsClean(status) && status.mgr.available;
  });
  for (const pool of pools) await ceph.rbd.initPool({ pool }, { signal });
}

async function until(signal: AbortSignal, test: () => Promise<boolean>): Promise<void> {
  for (;;) {
    signal.throwIfAborted();
    try {
      if (await test()) return;
    } catch (error) {
      if (!isCephError(error) || !error.retryable) throw error;
    }
    await sleep(50);
  }
}

/** A block of ports below 20000 whose first is free; two runs that begin at once look at different ones first. */
async function freePorts(): Promise<number> {
  const first = 13_300 + portsPerCluster * (process.pid % 100);
  for (let base = first; base < first + 10 * portsPerCluster; base += portsPerCluster)
    if (await isFree(base)) return base;
  throw new Error(`no free ports from ${first} on`);
}

const isFree = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });

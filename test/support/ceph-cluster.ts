import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { closeSync, openSync } from 'node:fs';
import { mkdir, mkdtemp, open, readFile, rm, writeFile } from 'node:fs/promises';
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
import {
  identifyProcess,
  isRunning,
  signalProcess,
  type ProcessIdentity,
} from '../../src/lib/process-identity.ts';
import { runCommand } from '../../src/lib/run-command.ts';
import { clusterConf } from './ceph-cluster-conf.ts';
import { findCephTree, type CephTree } from './ceph-tree.ts';
import { testBrokerSpawner } from './test-broker.ts';

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

const testFolder = process.env['HOLDFAST_TEST_DIR'] ?? '/var/tmp/holdfast-tests';
const upLimitMs = 90_000;
const portsPerCluster = 60;

export async function startCephCluster(options: CephClusterOptions = {}): Promise<CephCluster> {
  const { mons = 1, osds = 3, pools = ['rbd'], folder = testFolder } = options;
  const startedMs = Date.now();
  const tree = await findCephTree();
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const dir = await mkdtemp(join(folder, 'cluster-'));
  const basePort = options.basePort ?? (await freePorts());
  const fsid = randomUUID();
  const names = ['a', 'b', 'c', 'd', 'e'].slice(0, mons);
  const addresses = names.map(
    (_, at) => `[v2:127.0.0.1:${basePort + at},v1:127.0.0.1:${basePort + 10 + at}]`,
  );
  const key = () => newCephxKey(Date.now());
  const adminKey = key();
  const osdSpecs = Array.from({ length: osds }, (_, id) => ({ id, uuid: randomUUID(), key: key() }));
  const mgrKey = key();
  const connection: CephConnection = {
    monHost: addresses.join(','),
    user: 'client.admin',
    key: adminKey,
    fsid,
  };
  const spawnBroker = await testBrokerSpawner(tree);
  const connect: CephCluster['connect'] = (user) =>
    openCeph({ ...connection, ...user }, { spawnBroker, clock: systemClock, log: silentLogger });
  const ceph = connect();
  const daemons = new Map<string, ProcessIdentity>();
  const conf = join(dir, 'ceph.conf');
  const env = { ...tree.env, CEPH_CONF: conf };
  const signal = AbortSignal.timeout(upLimitMs);
  const bin = (name: string) => join(tree.root, 'usr/bin', name);
  const run = (name: string, args: readonly string[]) =>
    runCommand(bin(name), args, { signal, env, timeoutMs: 60_000 });
  const start = async (name: string, args: readonly string[]) => {
    const log = openSync(join(dir, 'log', `${name}.out`), 'a');
    const child = spawn(
      bin(`ceph-${name.split('.')[0]}`),
      ['-f', '-i', name.slice(name.indexOf('.') + 1), ...args],
      {
        env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C', ...env },
        stdio: ['ignore', log, log],
        detached: true, // Ctrl-C of the test run is ours to handle, not theirs.
      },
    );
    closeSync(log);
    child.on('error', () => undefined);
    child.unref();
    const identity = child.pid === undefined ? undefined : await identifyProcess(child.pid);
    if (!identity) throw new Error(`${name} did not start`);
    daemons.set(name, identity);
  };
  const stop = async () => {
    await ceph.close();
    await stopAll(daemons);
    await rm(dir, { recursive: true, force: true });
  };

  try {
    for (const path of ['log', 'run', 'crash', 'mgr/x', ...names.map((name) => `mon/${name}`)])
      await mkdir(join(dir, path), { recursive: true });
    await writeFile(
      conf,
      clusterConf({
        dir,
        fsid,
        tree,
        osds,
        monHost: connection.monHost,
        basePort,
        settings: options.settings ?? {},
      }),
    );
    const users = [
      { entity: 'mon.', key: key(), caps: { mon: 'allow *' } },
      {
        entity: 'client.admin',
        key: adminKey,
        caps: { mon: 'allow *', osd: 'allow *', mds: 'allow *', mgr: 'allow *' },
      },
      { entity: 'mgr.x', key: mgrKey, caps: { mon: 'allow profile mgr', osd: 'allow *', mds: 'allow *' } },
    ];
    await writeFile(join(dir, 'mon.keyring'), formatKeyring(users), { mode: 0o600 });
    await writeFile(join(dir, 'mgr/x/keyring'), formatKeyring([{ entity: 'mgr.x', key: mgrKey, caps: {} }]), {
      mode: 0o600,
    });
    const monmap = join(dir, 'monmap');
    await run('monmaptool', [
      '--create',
      ...names.flatMap((name, at) => ['--addv', name, addresses[at] ?? '']),
      '--fsid',
      fsid,
      '--set-min-mon-release',
      'pacific',
      monmap,
    ]);
    // The OSDs' mkfs needs no mon, so it runs beside the mons' start.
    const made = Promise.all(
      osdSpecs.map(async ({ id, uuid, key: secret }) => {
        await mkdir(join(dir, `osd/${id}`), { recursive: true });
        await writeFile(
          join(dir, `osd/${id}/keyring`),
          formatKeyring([{ entity: `osd.${id}`, key: secret, caps: {} }]),
          { mode: 0o600 },
        );
        const block = await open(join(dir, `osd/${id}/block`), 'w');
        await block.truncate(10 * 1024 ** 3);
        await block.close();
        await run('ceph-osd', [
          '-i',
          String(id),
          '--mkfs',
          '--no-mon-config',
          '--osd-uuid',
          uuid,
          '--monmap',
          monmap,
        ]);
      }),
    );
    made.catch(() => undefined);
    for (const name of names) {
      await run('ceph-mon', [
        '-i',
        name,
        '--mkfs',
        '--monmap',
        monmap,
        '--keyring',
        join(dir, 'mon.keyring'),
      ]);
      await start(`mon.${name}`, []);
    }
    await start('mgr.x', []);
    await made;
    await until(signal, async () => Boolean(await readStatus(ceph, signal)));
    for (const osd of osdSpecs) {
      await registerOsd(ceph, osd, signal);
      await ceph.mon(
        { prefix: 'osd crush set-device-class', class: 'ssd', ids: [String(osd.id)] },
        z.unknown(),
        { signal },
      );
      await start(`osd.${osd.id}`, []);
    }
    await until(signal, async () => (await readStatus(ceph, signal)).osds.up === osds);
    for (const pool of pools) {
      await createPool(ceph, pool, { size: Math.min(3, osds), pgNum: 8 }, signal);
      await enableApplication(ceph, pool, 'rbd', signal);
    }
    await until(signal, async () => {
      const status = await readStatus(ceph, signal);
      return osds === 0 || (status.pools >= pools.length && allPgsClean(status) && status.mgr.available);
    });
    for (const pool of pools) await ceph.rbd.initPool({ pool }, { signal });
  } catch (error) {
    const logs = await tails(dir, [...daemons.keys()]);
    await stop();
    throw new Error(`the Ceph cluster did not come up: ${String(error)}\n${logs}`, { cause: error });
  }
  return {
    fsid,
    dir,
    connection,
    tree,
    spawnBroker,
    ceph,
    upMs: Date.now() - startedMs,
    daemons,
    async signal(name, wanted) {
      const identity = daemons.get(name);
      if (!identity || !(await signalProcess(identity, wanted))) throw new Error(`${name} does not run`);
    },
    connect,
    stop,
  };
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

/** A block of ports between 13300 and 13499 of which the first ones are free. */
async function freePorts(): Promise<number> {
  for (let base = 13_300; base + portsPerCluster <= 13_500; base += portsPerCluster)
    if (await isFree(base)) return base;
  throw new Error('no free ports between 13300 and 13499');
}

const isFree = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });

/** Ends what still is the process that was started; never a later one of the same pid. */
async function stopAll(daemons: ReadonlyMap<string, ProcessIdentity>): Promise<void> {
  const all = [...daemons.values()];
  for (const identity of all) {
    await signalProcess(identity, 'SIGCONT');
    await signalProcess(identity, 'SIGTERM');
  }
  for (let waitedMs = 0; waitedMs < 5_000; waitedMs += 50) {
    if (!(await Promise.all(all.map(isRunning))).includes(true)) return;
    await sleep(50);
  }
  for (const identity of all) await signalProcess(identity, 'SIGKILL');
}

async function tails(dir: string, names: readonly string[]): Promise<string> {
  const texts = await Promise.all(
    names.map(async (name) => {
      const text = await readFile(join(dir, 'log', `${name}.out`), 'utf8').catch(() => '');
      return text.trim() === '' ? '' : `--- ${name}\n${text.slice(-1500)}`;
    }),
  );
  return texts.join('\n');
}

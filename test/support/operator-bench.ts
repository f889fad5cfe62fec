import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Deployment } from 'kubernetes-types/apps/v1.js';
import type { Job } from 'kubernetes-types/batch/v1.js';
import {
  CephBlockPools,
  type CephBlockPool,
  type CephBlockPoolSpec,
} from '../../src/api/ceph/ceph-block-pool.ts';
import { CephClusters, type CephCluster, type CephClusterSpec } from '../../src/api/ceph/ceph-cluster.ts';
import { Deployments, Jobs, Nodes, Secrets } from '../../src/api/core.ts';
import {
  refOf,
  type KubeObject,
  type ObjectRef,
  type Resource,
  type Stored,
} from '../../src/api/resource.ts';
import { fakeCeph, type FakeCeph } from '../../src/ceph/fake/fake-ceph.ts';
import type { KubeClient } from '../../src/kube/client.ts';
import { loadKubeConfig } from '../../src/kube/kubeconfig.ts';
import { applyManifests, parseManifests } from '../../src/kube/manifests.ts';
import { createKubeClient } from '../../src/kube/undici-client.ts';
import { waitForObject } from '../../src/kube/wait.ts';
import { watchResource } from '../../src/kube/watcher.ts';
import { systemClock } from '../../src/lib/clock.ts';
import { silentLogger } from '../../src/lib/log.ts';
import type { BluestoreLabel } from '../../src/host/bluestore-label.ts';
import { runOsdPrepare } from '../../src/operator/osd/prepare.ts';
import type { ScannedDisk } from '../../src/operator/osd/scanned-disk.ts';
import { runOperator } from '../../src/operator/operator.ts';
import { startTestApi } from './api-server.ts';

export const namespace = 'rook-ceph';

/** A disk of the double’s node; a label appears on it once it was formatted. */
export interface TestDisk extends ScannedDisk {
  label?: BluestoreLabel;
  /** How many times an OSD was made on it. */
  formats: number;
  /** Fails to be formatted. */
  broken?: boolean;
}

export interface OperatorBench {
  readonly client: KubeClient;
  readonly ceph: FakeCeph;
  readonly disks: TestDisk[];
  /** Every Deployment, DaemonSet or Job that was ever created, by name: twice is one too many. */
  readonly created: string[];
  start(): void;
  /** As kill -9 does: nothing is finished, nothing is given back. */
  kill(): Promise<void>;
  createCluster(spec?: Partial<CephClusterSpec>): Promise<Stored<CephCluster>>;
  createPool(name: string, spec: CephBlockPoolSpec): Promise<Stored<CephBlockPool>>;
  cluster(
    accept: (cluster: Stored<CephCluster>) => boolean,
    timeoutMs?: number,
  ): Promise<Stored<CephCluster>>;
  pool(name: string, accept: (pool: Stored<CephBlockPool>) => boolean): Promise<Stored<CephBlockPool>>;
  get<T extends KubeObject>(resource: Resource<T>, name: string): Promise<Stored<T> | undefined>;
  gone(resource: Resource, ref: ObjectRef): Promise<void>;
  close(): Promise<void>;
}

export const blankDisk = (name: string): TestDisk => ({
  name,
  paths: [`/dev/${name}`, `/dev/disk/by-id/test-${name}`],
  sizeBytes: 10 * 1024 ** 3,
  rotational: true,
  formats: 0,
});

export const clusterSpec: CephClusterSpec = {
  cephVersion: { image: 'quay.io/ceph/ceph:v16.2.15' },
  dataDirHostPath: '/var/lib/rook',
  mon: { count: 3, allowMultiplePerNode: true },
  mgr: { count: 1 },
  crashCollector: { disable: true },
  storage: { useAllNodes: true, useAllDevices: true },
};

/** The operator against the real API server and the fake Ceph, with a double that plays node and daemons. */
export async function startOperatorBench(
  disks: TestDisk[] = ['loop1', 'loop2', 'loop3'].map(blankDisk),
): Promise<OperatorBench> {
  const api = await startTestApi();
  const stop = new AbortController();
  const { signal } = stop;
  const client = createKubeClient(await loadKubeConfig(api.kubeconfig));
  const ceph = fakeCeph({ osds: 0, mons: ['a', 'b', 'c'] });
  ceph.reachable = false;
  await applyDeploy(client, signal);
  await addReadyNode(client, 'node-a', signal);
  const created: string[] = [];
  const double = playNode({ client, ceph, disks, created, signal });

  const operator = operatorProcess(client, ceph);
  const waitFor = waitingFor(client, signal);
  return {
    client,
    ceph,
    disks,
    created,
    ...operator,
    createCluster: (spec = {}) =>
      client.create(
        CephClusters,
        {
          apiVersion: 'ceph.rook.io/v1',
          kind: 'CephCluster',
          metadata: { name: 'rook-ceph', namespace },
          spec: { ...clusterSpec, ...spec },
        },
        { signal },
      ),
    createPool: (name, spec) =>
      client.create(
        CephBlockPools,
        { apiVersion: 'ceph.rook.io/v1', kind: 'CephBlockPool', metadata: { name, namespace }, spec },
        { signal },
      ),
    cluster: (accept, timeoutMs) => waitFor(CephClusters, 'rook-ceph', accept, timeoutMs),
    pool: (name, accept) => waitFor(CephBlockPools, name, accept),
    get: (resource, name) => client.get(resource, { namespace, name }, { signal }),
    async gone(resource, ref) {
      await waitForObject(client, resource, ref, (object) => object === undefined, {
        signal,
        timeoutMs: 8_000,
      });
    },
    async close() {
      await operator.kill();
      stop.abort(new Error('the test is over'));
      await double;
      await client.close();
      await api.close();
    },
  };
}

/** The operator, started and killed as often as a test likes. */
function operatorProcess(client: KubeClient, ceph: FakeCeph): Pick<OperatorBench, 'start' | 'kill'> {
  let operator: { stop: AbortController; ended: Promise<unknown> } | undefined;
  return {
    start() {
      const own = new AbortController();
      const ended = runOperator({
        client,
        namespace,
        openCeph: ceph.open,
        clock: systemClock,
        log: silentLogger,
        signal: own.signal,
        images: { holdfast: 'holdfast:latest', ceph: 'quay.io/ceph/ceph:v16.2.15' },
      }).catch(() => undefined);
      operator = { stop: own, ended };
    },
    async kill() {
      operator?.stop.abort(new Error('killed'));
      await operator?.ended;
      operator = undefined;
    },
  };
}

/** Waits for an object; what it was stuck at says more than the time that passed. */
const waitingFor =
  (client: KubeClient, signal: AbortSignal) =>
  async <T extends KubeObject>(
    resource: Resource<T>,
    name: string,
    accept: (object: Stored<T>) => boolean,
    timeoutMs = 8_000,
  ): Promise<Stored<T>> => {
    const ref = { namespace, name };
    const found = await waitForObject(
      client,
      resource,
      ref,
      (object) => object !== undefined && accept(object),
      { signal, timeoutMs },
    ).catch(async (cause: unknown) => {
      const now = await client.get(resource, ref, { signal });
      const { status } = (now ?? {}) as { status?: unknown };
      throw new Error(`${name} stayed ${JSON.stringify(status)}`, { cause });
    });
    return found as Stored<T>;
  };

async function applyDeploy(client: KubeClient, signal: AbortSignal): Promise<void> {
  const root = new URL('../../deploy/', import.meta.url);
  for (const file of [
    'crds/cephclusters.ceph.rook.io.yaml',
    'crds/cephblockpools.ceph.rook.io.yaml',
    'common.yaml',
  ]) {
    const objects = parseManifests(readFileSync(new URL(file, root), 'utf8'), file);
    await applyManifests(client, objects, { fieldManager: 'test', signal });
  }
}

export async function addReadyNode(client: KubeClient, name: string, signal: AbortSignal): Promise<void> {
  const labels = { 'kubernetes.io/hostname': name };
  await client.create(Nodes, { apiVersion: 'v1', kind: 'Node', metadata: { name, labels } }, { signal });
  const status = {
    conditions: [{ type: 'Ready', status: 'True' }],
    addresses: [{ type: 'InternalIP', address: '10.0.0.5' }],
  };
  await client.patch(Nodes, { name }, { type: 'merge', body: { status } }, { signal, subresource: 'status' });
}

interface Double {
  readonly client: KubeClient;
  readonly ceph: FakeCeph;
  readonly disks: TestDisk[];
  readonly created: string[];
  readonly signal: AbortSignal;
}

/** Plays kubelet and the daemons: pods run at once, two mons make a quorum, an OSD’s daemon boots it. */
async function playNode(double: Double): Promise<void> {
  await Promise.all([
    follow(double, Deployments, (deployment) => runDeployment(double, deployment)),
    follow(double, Jobs, (job) => runJob(double, job)),
  ]);
}

async function follow<T extends KubeObject>(
  { client, created, signal }: Double,
  resource: Resource<T>,
  added: (object: Stored<T>) => Promise<void>,
): Promise<void> {
  const seen = new Set<string>();
  const running: Promise<void>[] = [];
  try {
    for await (const event of watchResource(
      client,
      resource,
      { namespace },
      { clock: systemClock, signal },
    )) {
      if (event.type !== 'initApply' && event.type !== 'apply') continue;
      const { object } = event;
      if (seen.has(object.metadata.uid)) continue;
      seen.add(object.metadata.uid);
      created.push(object.metadata.name);
      running.push(added(object).catch((error: unknown) => void (signal.aborted || console.error(error))));
    }
  } catch (error) {
    if (!signal.aborted) throw error;
  }
  await Promise.all(running);
}

async function runDeployment(
  { client, ceph, signal }: Double,
  deployment: Stored<Deployment>,
): Promise<void> {
  const { name, labels } = deployment.metadata;
  await client.patch(
    Deployments,
    refOf(deployment),
    {
      type: 'merge',
      body: { status: { replicas: 1, readyReplicas: 1, availableReplicas: 1, updatedReplicas: 1 } },
    },
    { signal, subresource: 'status' },
  );
  if (name === 'rook-ceph-mon-b') ceph.reachable = true;
  const id = labels?.['ceph-osd-id'];
  if (id !== undefined) ceph.bootOsd(Number(id), { host: labels?.['topology-location-host'] ?? '' });
}

async function runJob({ client, disks, signal }: Double, job: Stored<Job>): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'holdfast-prepare-'));
  try {
    const secretName =
      job.spec?.template.spec?.volumes?.find((volume) => volume.secret)?.secret?.secretName ?? '';
    const secret = await client.get(Secrets, { namespace, name: secretName }, { signal });
    const configFile = join(folder, 'config.json');
    await writeFile(configFile, Buffer.from(secret?.data?.['config.json'] ?? '', 'base64'), { mode: 0o600 });
    const byPath = (device: string) => disks.find((disk) => disk.paths.includes(device));
    await runOsdPrepare(
      { configFile },
      {
        client,
        clock: systemClock,
        log: silentLogger,
        signal,
        dataDir: join(folder, 'rook'),
        scan: () => Promise.resolve(disks),
        readLabel: (device) => Promise.resolve(byPath(device)?.label),
        format(osd) {
          const disk = byPath(osd.device);
          if (!disk || disk.broken)
            return Promise.reject(new Error('ceph-osd ended with 1: Input/output error'));
          disk.formats++;
          disk.label = {
            osdUuid: osd.uuid,
            sizeBytes: BigInt(disk.sizeBytes),
            description: 'main',
            meta: new Map([
              ['ceph_fsid', osd.fsid],
              ['whoami', String(osd.id)],
              ['osd_key', osd.key],
              ['ready', 'ready'],
            ]),
          };
          return Promise.resolve();
        },
      },
    );
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

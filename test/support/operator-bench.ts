import { readFileSync } from 'node:fs';
import {
  CephBlockPools,
  type CephBlockPool,
  type CephBlockPoolSpec,
} from '../../src/api/ceph/ceph-block-pool.ts';
import { CephClusters, type CephCluster, type CephClusterSpec } from '../../src/api/ceph/ceph-cluster.ts';
import { Nodes } from '../../src/api/core.ts';
import type { KubeObject, ObjectRef, Resource, Stored } from '../../src/api/resource.ts';
import { fakeCeph, type FakeCeph } from '../../src/ceph/fake/fake-ceph.ts';
import { createManager } from '../../src/control/manager.ts';
import type { KubeClient } from '../../src/kube/client.ts';
import { loadKubeConfig } from '../../src/kube/kubeconfig.ts';
import { applyManifests, parseManifests } from '../../src/kube/manifests.ts';
import { createKubeClient } from '../../src/kube/undici-client.ts';
import { waitForObject } from '../../src/kube/wait.ts';
import { systemClock } from '../../src/lib/clock.ts';
import { silentLogger } from '../../src/lib/log.ts';
import { runOperator } from '../../src/operator/operator.ts';
import { garbageCollector } from '../../src/standalone/controllers/garbage-collector.ts';
import { startTestApi } from './api-server.ts';
import { mortalProcess, type MortalProcess } from './mortal-process.ts';
import { blankDisks, namespace, playNode, type TestDisk, type World } from './operator-node-double.ts';

export interface OperatorBench {
  readonly client: KubeClient;
  readonly ceph: FakeCeph;
  readonly disks: TestDisk[];
  /** Every Deployment, DaemonSet or Job that was ever created, by name: twice is one too many. */
  readonly created: string[];
  /** Starts an operator, which dies when it made that many writes that none before it made. */
  start(lastWrite?: number): MortalProcess;
  /** As kill -9 does: nothing is finished, nothing is given back. */
  kill(): Promise<void>;
  /** As SIGTERM does. */
  stop(): Promise<void>;
  /** From now on what its owners left behind is deleted, as Kubernetes does. */
  collectGarbage(): void;
  /** What a user does who makes the cluster anew: wipes the disks and the mons’ folders. */
  wipe(): void;
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

export const isReady = (object: { status?: { phase?: string | undefined } | undefined }): boolean =>
  object.status?.phase === 'Ready';

/** A value of a Secret. */
export const decoded = (value: string | undefined): string => Buffer.from(value ?? '', 'base64').toString();

export const clusterSpec: CephClusterSpec = {
  cephVersion: { image: 'quay.io/ceph/ceph:v16.2.15' },
  dataDirHostPath: '/var/lib/rook',
  mon: { count: 3, allowMultiplePerNode: true },
  mgr: { count: 1 },
  crashCollector: { disable: true },
  storage: { useAllNodes: true, useAllDevices: true },
};

function cephWithoutDaemons(): FakeCeph {
  const ceph = fakeCeph({ osds: 0, mons: ['a', 'b', 'c'] });
  ceph.reachable = false;
  return ceph;
}

/** The operator against the real API server and the fake Ceph, with a double that plays node and daemons. */
export async function startOperatorBench(disks: TestDisk[] = blankDisks()): Promise<OperatorBench> {
  const api = await startTestApi();
  const stop = new AbortController();
  const { signal } = stop;
  const client = createKubeClient(await loadKubeConfig(api.kubeconfig));
  const world = { ceph: cephWithoutDaemons() };
  await applyDeploy(client, signal);
  await addReadyNode(client, 'node-a', signal);
  const created: string[] = [];
  const double = playNode({ client, world, disks, created, signal });
  let collector: Promise<void> | undefined;

  const operator = operatorProcess(client, world);
  const waitFor = waitingFor(client, signal);
  return {
    client,
    get ceph() {
      return world.ceph;
    },
    disks,
    created,
    ...operator,
    collectGarbage() {
      collector ??= collectGarbage(client, signal);
    },
    wipe() {
      world.ceph = cephWithoutDaemons();
      created.length = 0;
      for (const disk of disks) {
        delete disk.label;
        disk.formats = 0;
      }
    },
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
        timeoutMs: limitMs,
      });
    },
    async close() {
      await operator.kill();
      stop.abort(new Error('the test is over'));
      await Promise.all([double, collector]);
      await client.close();
      await api.close();
    },
  };
}

/** The operator, started and killed as often as a test likes. */
function operatorProcess(client: KubeClient, world: World): Pick<OperatorBench, 'start' | 'kill' | 'stop'> {
  let operator:
    | { readonly process: MortalProcess; readonly term: AbortController; readonly ended: Promise<unknown> }
    | undefined;
  const history = new Set<string>();
  const kill = async () => {
    operator?.process.kill();
    await operator?.ended;
    await operator?.process.ended;
    operator = undefined;
  };
  return {
    start(lastWrite = Infinity) {
      const process = mortalProcess(lastWrite, history);
      const term = new AbortController();
      const ended = runOperator({
        client: process.kube(client),
        namespace,
        openCeph: process.ceph((connection) => world.ceph.open(connection)),
        clock: systemClock,
        log: silentLogger,
        signal: AbortSignal.any([process.signal, term.signal]),
        images: { holdfast: 'holdfast:latest', ceph: 'quay.io/ceph/ceph:v16.2.15' },
      }).catch(() => undefined);
      operator = { process, term, ended };
      return process;
    },
    kill,
    async stop() {
      operator?.term.abort(new Error('SIGTERM'));
      await operator?.ended;
      await kill();
    },
  };
}

/** Before the test's own limit, so that there is time to tell what it was stuck at. */
const limitMs = 15_000;

/** Waits for an object; what it was stuck at says more than the time that passed. */
const waitingFor =
  (client: KubeClient, signal: AbortSignal) =>
  async <T extends KubeObject>(
    resource: Resource<T>,
    name: string,
    accept: (object: Stored<T>) => boolean,
    timeoutMs = limitMs,
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

/** What Kubernetes does with objects whose owner is gone. */
async function collectGarbage(client: KubeClient, signal: AbortSignal): Promise<void> {
  const manager = createManager({ client, clock: systemClock, log: silentLogger });
  const { caches } = manager;
  manager.addTask(
    garbageCollector({
      client,
      caches,
      clock: systemClock,
      log: silentLogger,
      random: () => 0.5,
      rootCa: '',
      events: () => {
        throw new Error('the collector records no events');
      },
    }),
  );
  await manager.run(signal);
}

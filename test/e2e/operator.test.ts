import { readFileSync } from 'node:fs';
import type { Pod } from 'kubernetes-types/core/v1.js';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { CephBlockPools } from '../../src/api/ceph/ceph-block-pool.ts';
import { CephClusters } from '../../src/api/ceph/ceph-cluster.ts';
import { Deployments, Pods, Secrets } from '../../src/api/core.ts';
import { refOf } from '../../src/api/resource.ts';
import type { KubeClient } from '../../src/kube/client.ts';
import { applyManifests, parseManifests } from '../../src/kube/manifests.ts';
import { waitForObject } from '../../src/kube/wait.ts';
import { eventually } from '../support/eventually.ts';
import { run, standaloneInstance } from '../support/standalone.ts';
import { tellOnFailure } from '../support/tell-on-failure.ts';

// The operator as it is shipped: in its pod, under its own roles, with real Ceph daemons as pods.
const root = new URL('../../', import.meta.url);
const namespace = 'rook-ceph';
const cluster = { namespace, name: 'rook-ceph' };
const signal = new AbortController().signal;

const instance = standaloneInstance('/var/lib/hf-e2e-operator');
tellOnFailure(instance);

let client: KubeClient;

const apply = async (file: string) =>
  await applyManifests(client, parseManifests(readFileSync(new URL(file, root), 'utf8'), file), {
    fieldManager: 'e2e',
    signal,
  });
const isReady = (object: { status?: { phase?: string | undefined } | undefined } | undefined) =>
  object?.status?.phase === 'Ready';
const podsOf = async (labelSelector: string) =>
  (await client.list(Pods, { namespace, labelSelector }, { signal })).items;
const isPodReady = (pod: Pod) =>
  pod.status?.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True') === true;
const toolbox = ['-n', namespace, 'exec', 'deploy/rook-ceph-tools', '--'];
/** As Ceph's own tool has it. */
const cephStatus = async () =>
  JSON.parse(await instance.kubectl(...toolbox, 'ceph', 'status', '--format', 'json')) as {
    health: { status: string };
    quorum_names: string[];
    osdmap: { num_up_osds: number };
  };
const fsidNow = async () =>
  Buffer.from(
    (await client.get(Secrets, { namespace, name: 'rook-ceph-mon' }, { signal }))?.data?.['fsid'] ?? '',
    'base64',
  ).toString();

beforeAll(async () => {
  await instance.purge(); // What a run that was killed left behind.
  const holdfast = new URL('bin/holdfast', root).pathname;
  expect(await run(holdfast, ['up', '--data-dir', instance.dataDir])).toMatchObject({ code: 0 });
  client = await instance.client();
});

afterAll(async () => {
  await client?.close();
  await instance.purge();
});

test('examples/ceph/cluster.yaml becomes a healthy cluster with a pool', async () => {
  await apply('examples/ceph/cluster.yaml');
  const ready = await waitForObject(client, CephClusters, cluster, isReady, { signal, timeoutMs: 90_000 });
  expect(ready?.status?.ceph?.fsid).toBe(await fsidNow());
  expect(
    ready?.status?.storage?.nodes?.[0]?.devices?.map((one) => [one.verdict, one.reason, one.osd]),
  ).toEqual([
    ['InUse', 'OsdRunning', 0],
    ['InUse', 'OsdRunning', 1],
    ['InUse', 'OsdRunning', 2],
  ]);
  const pool = { namespace, name: 'replicapool' };
  await waitForObject(client, CephBlockPools, pool, isReady, { signal, timeoutMs: 30_000 });
  await waitForObject(
    client,
    CephClusters,
    cluster,
    (one) => one?.status?.ceph?.health === 'HEALTH_OK' && one.status.ceph.versions?.osd !== undefined,
    { signal, timeoutMs: 30_000 },
  );
});

test('a mon, an OSD and the operator that are taken away come back, and nothing is doubled', async () => {
  await apply('examples/ceph/toolbox.yaml');
  await eventually('the toolbox answers', 60_000, async () => (await cephStatus()).quorum_names.length === 3);
  const before = (await client.list(Deployments, { namespace }, { signal })).items.map(
    (one) => one.metadata.name,
  );
  const victims = ['mon=b', 'ceph-osd-id=0', 'app=rook-ceph-operator'];
  const taken = new Set<string>();
  for (const labelSelector of victims) {
    for (const pod of await podsOf(labelSelector)) {
      taken.add(pod.metadata.uid);
      await client.delete(Pods, refOf(pod), { signal });
      await waitForObject(client, Pods, refOf(pod), (one) => one === undefined, {
        signal,
        timeoutMs: 40_000,
      });
    }
  }
  expect(taken.size).toBe(victims.length);
  // The status of a Deployment or of the cluster may still be that of before: new pods, and Ceph itself, tell.
  for (const labelSelector of victims)
    await eventually(`another pod ${labelSelector} is ready`, 40_000, async () => {
      const [pod, ...more] = await podsOf(labelSelector);
      return more.length === 0 && pod !== undefined && !taken.has(pod.metadata.uid) && isPodReady(pod);
    });
  await eventually('all mons and OSDs are back', 60_000, async () => {
    const { health, quorum_names, osdmap } = await cephStatus();
    return health.status === 'HEALTH_OK' && quorum_names.length === 3 && osdmap.num_up_osds === 3;
  });
  await waitForObject(
    client,
    CephClusters,
    cluster,
    (one) => isReady(one) && one?.status?.ceph?.health === 'HEALTH_OK',
    { signal, timeoutMs: 60_000 },
  );
  const after = (await client.list(Deployments, { namespace }, { signal })).items.map(
    (one) => one.metadata.name,
  );
  expect(after.sort()).toEqual(before.sort());
});

test('a deleted cluster leaves its data, and one made after it says whose data that is', async () => {
  const old = await fsidNow();
  // By an operator that never saw them before: what they need of Ceph it must find out anew.
  for (const pod of await podsOf('app=rook-ceph-operator')) await client.delete(Pods, refOf(pod), { signal });
  await client.delete(CephBlockPools, { namespace, name: 'replicapool' }, { signal });
  await client.delete(CephClusters, cluster, { signal });
  await waitForObject(client, CephClusters, cluster, (one) => one === undefined, {
    signal,
    timeoutMs: 60_000,
  });
  expect(await podsOf('rook_cluster=rook-ceph')).toEqual([]);

  // At once: what the deleted one owned is still being collected, and must not become the new one's.
  await apply('examples/ceph/cluster.yaml');
  const refused = await waitForObject(
    client,
    CephClusters,
    cluster,
    (one) => one?.status?.conditions?.some((condition) => condition.reason === 'LeftoverData') === true,
    { signal, timeoutMs: 60_000 },
  );
  expect(refused?.status?.message).toContain('mons of another cluster on node1: mon-a, mon-b, mon-c');
  expect(await fsidNow()).not.toBe(old);
  const devices = refused?.status?.storage?.nodes?.[0]?.devices ?? [];
  expect(devices.map((one) => [one.verdict, one.reason, one.owner])).toEqual(
    Array.from({ length: 3 }, () => ['Skipped', 'OtherCluster', old]),
  );
});

import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { CephBlockPools } from '../../src/api/ceph/ceph-block-pool.ts';
import { CephClusters } from '../../src/api/ceph/ceph-cluster.ts';
import { Deployments, Pods, Secrets } from '../../src/api/core.ts';
import { refOf } from '../../src/api/resource.ts';
import type { KubeClient } from '../../src/kube/client.ts';
import { applyManifests, parseManifests } from '../../src/kube/manifests.ts';
import { waitForObject } from '../../src/kube/wait.ts';
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
  const before = (await client.list(Deployments, { namespace }, { signal })).items.map(
    (one) => one.metadata.name,
  );
  for (const labelSelector of ['mon=b', 'ceph-osd-id=0', 'app=rook-ceph-operator']) {
    for (const pod of (await client.list(Pods, { namespace, labelSelector }, { signal })).items) {
      await client.delete(Pods, refOf(pod), { signal });
      await waitForObject(client, Pods, refOf(pod), (one) => one === undefined, {
        signal,
        timeoutMs: 40_000,
      });
    }
  }
  for (const name of ['rook-ceph-mon-b', 'rook-ceph-osd-0', 'rook-ceph-operator'])
    await waitForObject(
      client,
      Deployments,
      { namespace, name },
      (one) => (one?.status?.readyReplicas ?? 0) > 0,
      { signal, timeoutMs: 40_000 },
    );
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
  for (const pod of (
    await client.list(Pods, { namespace, labelSelector: 'app=rook-ceph-operator' }, { signal })
  ).items)
    await client.delete(Pods, refOf(pod), { signal });
  await client.delete(CephBlockPools, { namespace, name: 'replicapool' }, { signal });
  await client.delete(CephClusters, cluster, { signal });
  await waitForObject(client, CephClusters, cluster, (one) => one === undefined, {
    signal,
    timeoutMs: 60_000,
  });
  await waitForObject(client, Secrets, { namespace, name: 'rook-ceph-mon' }, (one) => one === undefined, {
    signal,
    timeoutMs: 30_000,
  });
  expect(
    (await client.list(Pods, { namespace, labelSelector: 'rook_cluster=rook-ceph' }, { signal })).items,
  ).toEqual([]);

  await apply('examples/ceph/cluster.yaml');
  const refused = await waitForObject(
    client,
    CephClusters,
    cluster,
    (one) => one?.status?.conditions?.some((condition) => condition.reason === 'LeftoverData') === true,
    { signal, timeoutMs: 60_000 },
  );
  expect(refused?.status?.message).toContain('mons of another cluster on node1: mon-a, mon-b, mon-c');
  const devices = refused?.status?.storage?.nodes?.[0]?.devices ?? [];
  expect(devices.map((one) => [one.verdict, one.reason, one.owner])).toEqual(
    Array.from({ length: 3 }, () => ['Skipped', 'OtherCluster', old]),
  );
});

import type { Pod } from 'kubernetes-types/core/v1.js';
import { afterEach, describe, expect, test } from 'vitest';
import { CephBlockPools, type CephBlockPool } from '../api/ceph/ceph-block-pool.ts';
import { CephClusters, type CephCluster } from '../api/ceph/ceph-cluster.ts';
import { ConfigMaps, CSIDrivers, DaemonSets, Deployments, Pods, Secrets, Services } from '../api/core.ts';
import { deletedImagesObject } from '../ceph/pools.ts';
import { isInvalid } from '../kube/errors.ts';
import { patchStatus } from '../kube/patch.ts';
import {
  decoded,
  isReady,
  type OperatorBench,
  startOperatorBench,
} from '../../test/support/operator-bench.ts';
import { blankDisk, namespace } from '../../test/support/operator-node-double.ts';

let bench: OperatorBench;
afterEach(async () => await bench.close());

const signal = new AbortController().signal;

describe('a new cluster', () => {
  test('comes up to Ready with what Rook’s users look for, and each disk has its verdict', async () => {
    bench = await startOperatorBench([
      blankDisk('loop1'),
      blankDisk('loop2'),
      blankDisk('loop3'),
      { ...blankDisk('loop4'), refusal: { reason: 'HasFilesystem', message: 'holds an ext4 filesystem' } },
    ]);
    bench.start();
    await bench.createCluster();
    const cluster = await bench.cluster(isReady);

    expect(cluster.status).toMatchObject({
      state: 'Created',
      message: 'Cluster created successfully',
      version: { image: 'quay.io/ceph/ceph:v16.2.15', version: '16.2.15-0' },
      waitingFor: [],
    });
    expect(cluster.status?.conditions?.find((one) => one.type === 'Ready')).toMatchObject({
      status: 'True',
      reason: 'ClusterCreated',
    });
    const devices = cluster.status?.storage?.nodes?.[0]?.devices ?? [];
    expect(devices.map((one) => [one.device, one.verdict, one.osd])).toEqual([
      ['/dev/disk/by-id/test-loop1', 'InUse', 0],
      ['/dev/disk/by-id/test-loop2', 'InUse', 1],
      ['/dev/disk/by-id/test-loop3', 'InUse', 2],
      ['/dev/disk/by-id/test-loop4', 'Skipped', undefined],
    ]);
    expect(devices[3]).toMatchObject({ reason: 'HasFilesystem', message: 'holds an ext4 filesystem' });
    expect(bench.disks[3]?.formats).toBe(0);

    const endpoints = await bench.get(ConfigMaps, 'rook-ceph-mon-endpoints');
    expect(endpoints?.data?.['data']).toMatch(/^a=[\d.]+:6789,b=[\d.]+:6789,c=[\d.]+:6789$/);
    expect(endpoints?.data?.['maxMonId']).toBe('2');
    const secret = await bench.get(Secrets, 'rook-ceph-mon');
    expect(decoded(secret?.data?.['ceph-username'])).toBe('client.admin');
    const service = await bench.get(Services, 'rook-ceph-mon-a');
    const mon = await bench.get(Deployments, 'rook-ceph-mon-a');
    const args = mon?.spec?.template.spec?.containers[0]?.args ?? [];
    expect(args).toContain(`--public-addr=${service?.spec?.clusterIP}`);
    expect(args).toContain('--public-bind-addr=$(ROOK_POD_IP)');
    expect(mon?.spec?.template.metadata?.labels).toMatchObject({
      app: 'rook-ceph-mon',
      mon: 'a',
      rook_cluster: namespace,
    });
    expect(bench.created.filter((name) => name.startsWith('rook-ceph-')).sort()).toEqual([
      'rook-ceph-mgr-a',
      'rook-ceph-mon-a',
      'rook-ceph-mon-b',
      'rook-ceph-mon-c',
      'rook-ceph-osd-0',
      'rook-ceph-osd-1',
      'rook-ceph-osd-2',
      'rook-ceph-osd-prepare-node-a',
    ]);
    expect([...bench.ceph.osds.values()].map((osd) => [osd.id, osd.deviceClass, osd.host])).toEqual([
      [0, 'ssd', 'node-a'],
      [1, 'ssd', 'node-a'],
      [2, 'ssd', 'node-a'],
    ]);
  });

  test('brings CSI with its users, Secrets, driver and workloads', async () => {
    bench = await startOperatorBench();
    bench.start();
    await bench.createCluster();
    await bench.cluster(isReady);

    const secret = await bench.get(Secrets, 'rook-csi-rbd-node');
    expect(decoded(secret?.data?.['userID'])).toBe('csi-rbd-node');
    expect(decoded(secret?.data?.['userKey'])).toBe(bench.ceph.auth.get('client.csi-rbd-node')?.key);
    const caps = bench.ceph.auth.get('client.csi-rbd-provisioner')?.caps;
    expect(Object.fromEntries(caps ?? [])).toEqual({
      mon: "profile rbd, allow command 'osd blocklist'",
      mgr: 'allow rw',
      osd: 'profile rbd',
    });
    const config = await bench.get(ConfigMaps, 'rook-ceph-csi-config');
    const [entry] = JSON.parse(config?.data?.['csi-cluster-config-json'] ?? '[]') as {
      clusterID: string;
      monitors: string[];
    }[];
    expect(entry?.clusterID).toBe(namespace);
    expect(entry?.monitors).toHaveLength(3);
    expect(entry?.monitors[0]).toMatch(/^[\d.]+:3300$/);
    expect(
      (await bench.client.get(CSIDrivers, { name: 'rook-ceph.rbd.csi.ceph.com' }, { signal }))?.spec,
    ).toMatchObject({ attachRequired: true, fsGroupPolicy: 'File' });
    expect((await bench.get(DaemonSets, 'holdfast-mounter'))?.spec?.updateStrategy?.type).toBe('OnDelete');
    expect(await bench.get(Deployments, 'csi-rbdplugin-provisioner')).toBeDefined();
  });

  test('no key is in an argument, the environment or a ConfigMap', async () => {
    bench = await startOperatorBench();
    bench.start();
    await bench.createCluster();
    await bench.cluster(isReady);
    const secrets = (await bench.client.list(Secrets, { namespace }, { signal })).items;
    const keys = new Set([...bench.ceph.auth.values()].map((user) => user.key));
    for (const secret of secrets) {
      for (const [name, value] of Object.entries(secret.data ?? {}))
        if (/secret|key$/i.test(name) && !/keyring/.test(name)) keys.add(decoded(value));
    }
    expect(keys.size).toBeGreaterThan(6);
    const open = JSON.stringify([
      (await bench.client.list(Deployments, { namespace }, { signal })).items,
      (await bench.client.list(DaemonSets, { namespace }, { signal })).items,
      (await bench.client.list(ConfigMaps, { namespace }, { signal })).items,
      (await bench.client.list(CephClusters, { namespace }, { signal })).items,
    ]);
    for (const key of keys) expect(open.includes(key)).toBe(false);
  });

  test('a disk that cannot be made an OSD has the reason, and holds up no other', async () => {
    bench = await startOperatorBench([blankDisk('loop1'), { ...blankDisk('loop2'), broken: true }]);
    bench.start();
    await bench.createCluster();
    const cluster = await bench.cluster(isReady);
    expect(cluster.status?.storage?.nodes?.[0]?.devices?.[1]).toMatchObject({
      verdict: 'Failed',
      reason: 'FormatFailed',
      message: expect.stringContaining('Input/output error') as string,
    });
    expect(bench.ceph.osds.size).toBe(1);
  });
});

describe('what is wrong is said', () => {
  test('the API refuses a bad spec with all errors at once', async () => {
    bench = await startOperatorBench();
    const refused = await bench
      .createCluster({
        mon: { count: 10 },
        dataDirHostPath: '/etc/ceph',
        logCollector: { maxLogSize: '-1Gi' },
        storage: { config: { databaseSizeMB: '-5' } },
      })
      .catch((error: unknown) => error);
    expect(refused).toSatisfy(isInvalid);
    const fields = isInvalid(refused) ? refused.causes.map((cause) => cause.field) : [];
    expect(fields).toEqual(
      expect.arrayContaining([
        'spec.mon.count',
        'spec.dataDirHostPath',
        'spec.logCollector.maxLogSize',
        'spec.storage.config.databaseSizeMB',
      ]),
    );
  });

  test('a field that is not honoured is named in a condition, and one that is off is not', async () => {
    bench = await startOperatorBench();
    bench.start();
    await bench.createCluster({
      dashboard: { enabled: true, ssl: false },
      removeOSDsIfOutAndSafeToRemove: true,
    });
    const cluster = await bench.cluster(isReady);
    const condition = cluster.status?.conditions?.find((one) => one.type === 'FieldsNotHonoured');
    expect(condition).toMatchObject({ status: 'True', reason: 'FieldsNotHonoured' });
    expect(condition?.message).toContain('spec.dashboard.enabled, spec.removeOSDsIfOutAndSafeToRemove');
    expect(condition?.message).not.toContain('ssl');
  });

  test('nothing is touched while a live Rook operator owns the resources', async () => {
    bench = await startOperatorBench();
    const image = 'docker.io/rook/ceph:v1.20.0';
    const pod: Pod = {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'rook', namespace, labels: { app: 'rook-ceph-operator' } },
      spec: { nodeName: 'node-a', containers: [{ name: 'o', image }] },
    };
    const rook = await bench.client.create(Pods, pod, { signal });
    const running = {
      name: 'o',
      image,
      imageID: image,
      ready: true,
      restartCount: 0,
      state: { running: {} },
    };
    const status = { phase: 'Running', containerStatuses: [running] };
    await patchStatus(bench.client, Pods, rook, status, { signal });
    const created = await bench.createCluster();
    // As Rook has written it.
    await patchStatus(bench.client, CephClusters, created, { phase: 'Ready' }, { signal });
    bench.start();
    const standsBack = (one: CephCluster) =>
      one.status?.conditions?.some(
        ({ type, status: is }) => type === 'RookOperatorActive' && is === 'True',
      ) ?? false;
    const cluster = await bench.cluster(standsBack);
    expect(cluster.status?.conditions).toHaveLength(1);
    expect(cluster.status?.conditions?.[0]?.message).toContain('live Rook operator (pod rook-ceph/rook)');
    expect(cluster.status?.phase).toBe('Ready');
    expect(bench.created).toEqual([]);
    expect(await bench.get(Secrets, 'rook-ceph-mon')).toBeUndefined();

    await bench.client.delete(Pods, { namespace, name: 'rook' }, { signal, gracePeriodSeconds: 0 });
    const taken = await bench.cluster((one) => isReady(one) && !standsBack(one));
    expect(taken.status?.conditions?.length).toBeGreaterThan(1);

    // It comes back, and the cluster is deleted: its daemons, and the finalizer, are Rook's to take away.
    const again = await bench.client.create(Pods, pod, { signal });
    await patchStatus(bench.client, Pods, again, status, { signal });
    await bench.cluster(standsBack);
    await bench.client.delete(CephClusters, { namespace, name: 'rook-ceph' }, { signal });
    await bench.cluster((one) => one.metadata.deletionTimestamp !== undefined);
    for (let look = 0; look < 20; look++) {
      expect(await bench.get(Deployments, 'rook-ceph-osd-0')).toBeDefined();
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    await bench.client.delete(Pods, { namespace, name: 'rook' }, { signal, gracePeriodSeconds: 0 });
    await bench.gone(CephClusters, { namespace, name: 'rook-ceph' });
  });
});

describe('a pool', () => {
  const size3 = { failureDomain: 'osd', replicated: { size: 3 } };

  test('of size 3 waits with the reason while there are 2 OSDs, and is Ready with the third', async () => {
    bench = await startOperatorBench([blankDisk('loop1'), blankDisk('loop2')]);
    bench.start();
    await bench.createCluster();
    await bench.createPool('replicapool', size3);
    await bench.cluster(isReady);
    // It may have looked before both were known.
    const waiting = await bench.pool(
      'replicapool',
      (pool) => pool.status?.message?.includes('there are 2') ?? false,
    );
    expect(waiting.status?.phase).toBe('Progressing');
    expect(waiting.status?.conditions?.[0]?.reason).toBe('TooFewFailureDomains');

    bench.disks.push(blankDisk('loop3'));
    await bench.client.delete(
      { group: 'batch', version: 'v1', kind: 'Job', plural: 'jobs', namespaced: true },
      { namespace, name: 'rook-ceph-osd-prepare-node-a' },
      { signal },
    );
    const ready = await bench.pool('replicapool', isReady);
    expect(ready.status?.info).toEqual({ type: 'Replicated', failureDomain: 'osd' });
    expect(bench.ceph.pools.get('replicapool')).toMatchObject({ size: 3 });
    expect(bench.disks.map((disk) => disk.formats)).toEqual([1, 1, 1]);
  });

  test('is made while the first OSDs start, for as many as are known', async () => {
    bench = await startOperatorBench();
    const boots: (() => void)[] = [];
    const { bootOsd } = bench.ceph;
    bench.ceph.bootOsd = (...osd) => void boots.push(() => bootOsd(...osd));
    bench.start();
    await bench.createCluster();
    while (boots.length < 3) await new Promise((resolve) => setTimeout(resolve, 1)); // All three are known.
    await bench.createPool('replicapool', size3);
    const waiting = await bench.pool('replicapool', (pool) => pool.status?.info !== undefined);
    expect(waiting.status).toMatchObject({ phase: 'Progressing', message: 'no OSD is up yet' });
    expect(bench.ceph.pools.get('replicapool')).toMatchObject({ pgNum: 32 });

    for (const boot of boots) boot();
    await bench.pool('replicapool', isReady);
    expect(bench.ceph.sent.filter((one) => one === 'osd pool create')).toHaveLength(2);
  });

  test('keeps its cluster, and images keep it, each with a condition that says so', async () => {
    bench = await startOperatorBench();
    bench.start();
    await bench.createCluster();
    await bench.createPool('replicapool', size3);
    await bench.pool('replicapool', isReady);
    await bench.ceph.rbd.create(
      { pool: 'replicapool' },
      'csi-vol-1',
      { sizeBytes: 1n << 30n, features: ['layering'] },
      { signal },
    );

    await bench.client.delete(CephClusters, { namespace, name: 'rook-ceph' }, { signal });
    await bench.client.delete(CephBlockPools, { namespace, name: 'replicapool' }, { signal });
    const blocked = await bench.pool(
      'replicapool',
      (pool) =>
        pool.status?.conditions?.some((one) => one.type === 'DeletionIsBlocked' && one.status === 'True') ===
        true,
    );
    expect(blocked.status?.message).toContain('1 image (csi-vol-1)');
    const cluster = await bench.cluster((one) => one.status?.phase === 'Deleting');
    expect(cluster.status?.message).toContain('CephBlockPool replicapool');
    expect(cluster.status?.state).toBe('Deleting');
    expect(await bench.get(Deployments, 'rook-ceph-osd-0')).toBeDefined();

    // In the trash somebody may want it back; once its deletion was asked for, nobody does.
    const place = { pool: 'replicapool' };
    const image = await bench.ceph.rbd.info(place, 'csi-vol-1', { signal });
    await bench.ceph.rbd.trashMove(place, 'csi-vol-1', 0, { signal });
    const kept = (pool: CephBlockPool) => pool.status?.message?.includes('1 image in the trash') === true;
    await bench.pool('replicapool', kept);
    const deleted = new Map([[image?.id ?? '', 'csi-vol-1']]);
    await bench.ceph.objects.omapSet(place, deletedImagesObject, deleted, { signal });
    await bench.gone(CephBlockPools, { namespace, name: 'replicapool' });
    await bench.gone(CephClusters, { namespace, name: 'rook-ceph' });
    expect(bench.ceph.pools.has('replicapool')).toBe(false);
    // The data stays: what is on the disks was not touched.
    expect(bench.disks.every((disk) => disk.label !== undefined)).toBe(true);
  });

  test('goes with its cluster though the operator that knew them was killed', async () => {
    bench = await startOperatorBench();
    bench.start();
    await bench.createCluster();
    await bench.createPool('replicapool', size3);
    await bench.pool('replicapool', isReady);
    await bench.kill();
    await bench.client.delete(CephBlockPools, { namespace, name: 'replicapool' }, { signal });
    await bench.client.delete(CephClusters, { namespace, name: 'rook-ceph' }, { signal });
    bench.start();
    await bench.gone(CephBlockPools, { namespace, name: 'replicapool' });
    expect(bench.ceph.pools.has('replicapool')).toBe(false);
    await bench.gone(CephClusters, { namespace, name: 'rook-ceph' });
  });

  test('goes with a cluster that never came up', async () => {
    bench = await startOperatorBench();
    bench.start();
    await bench.createCluster({ mon: { count: 1 } }); // The double’s mons need two for their quorum.
    await bench.createPool('replicapool', size3);
    await bench.pool('replicapool', (one) => one.status?.message?.includes('mon') === true);
    await bench.client.delete(CephBlockPools, { namespace, name: 'replicapool' }, { signal });
    const told = await bench.pool('replicapool', (one) => one.status?.phase === 'Deleting');
    expect(told.status?.message).toContain('is not reached');
    await bench.client.delete(CephClusters, { namespace, name: 'rook-ceph' }, { signal });
    await bench.gone(CephBlockPools, { namespace, name: 'replicapool' });
    await bench.gone(CephClusters, { namespace, name: 'rook-ceph' });
  });
});

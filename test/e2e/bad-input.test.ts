import { createHash } from 'node:crypto';
import { open, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Event, PersistentVolumeClaim, Pod } from 'kubernetes-types/core/v1.js';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { CephBlockPools, type CephBlockPool } from '../../src/api/ceph/ceph-block-pool.ts';
import { CephClusters, type CephCluster } from '../../src/api/ceph/ceph-cluster.ts';
import { Deployments, Events, Jobs, PersistentVolumeClaims, Pods, Secrets } from '../../src/api/core.ts';
import type { KubeObject, ObjectRef, Resource, Stored } from '../../src/api/resource.ts';
import type { KubeClient } from '../../src/kube/client.ts';
import { patchStatus } from '../../src/kube/patch.ts';
import { waitForObject } from '../../src/kube/wait.ts';
import { systemClock } from '../../src/lib/clock.ts';
import { bluestoreLabelBlock } from '../support/bluestore-label-block.ts';
import { run, standaloneInstance } from '../support/standalone.ts';
import { tellOnFailure } from '../support/tell-on-failure.ts';
import { findTestTree } from '../support/tree.ts';

// What users get wrong, and bad luck, against a whole instance with real disks and a real Ceph cluster: each
// is said in words that name the field and the way out, nothing is half-made, and it goes on once mended.
// The tests are one story and build on each other.

const dataDir = '/var/lib/hf-e2e-input';
const instance = standaloneInstance(dataDir);
tellOnFailure(instance);
const namespace = 'rook-ceph';
const signal = AbortSignal.timeout(600_000);
const preciousUuid = '11111111-2222-4333-8444-555555555555';
const foreignFsid = '0f0f0f0f-1111-4222-8333-444444444444';
const foreignLabel = bluestoreLabelBlock('aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee', {
  ceph_fsid: foreignFsid,
  whoami: '7',
  ready: 'ready',
  magic: 'ceph osd volume v026',
});

let client: KubeClient;
let precious: readonly DiskMark[];

interface DiskMark {
  readonly file: string;
  readonly blocks: number;
  readonly modifiedMs: number;
  readonly digest: string;
}

const diskFile = (number: number) => join(dataDir, 'nodes/node1/disks', `disk${number}.img`);

/** What a disk holds: every place where a label or superblock can be, how much is on it, and its last write. */
async function markOf(file: string): Promise<DiskMark> {
  const { size, blocks, mtimeMs: modifiedMs } = await stat(file);
  const hash = createHash('sha256');
  const handle = await open(file, 'r');
  try {
    const part = Buffer.alloc(8 * 1024 * 1024);
    for (const at of [0, size - part.length]) {
      const { bytesRead } = await handle.read(part, 0, part.length, at);
      hash.update(part.subarray(0, bytesRead));
    }
  } finally {
    await handle.close();
  }
  return { file, blocks, modifiedMs, digest: hash.digest('hex') };
}

async function loopOf(file: string): Promise<string> {
  const { stdout } = await run('losetup', ['--noheadings', '--output', 'NAME', '--associated', file]);
  const [loop] = stdout.trim().split('\n');
  if (!loop) throw new Error(`no loop stands on ${file}`);
  return loop;
}

/** A filesystem on the fourth disk, and an OSD of another cluster on the fifth. */
async function signDisks(): Promise<void> {
  const { path } = await findTestTree();
  const mkfs = [join(path, 'usr/lib/x86_64-linux-gnu'), join(path, 'usr/sbin/mkfs.ext4')] as const;
  const loader = join(path, 'usr/lib64/ld-linux-x86-64.so.2');
  const loops = [await loopOf(diskFile(4)), await loopOf(diskFile(5))] as const;
  const made = await run(loader, ['--library-path', ...mkfs, '-q', '-F', '-U', preciousUuid, loops[0]]);
  if (made.code !== 0) throw new Error(`mkfs.ext4: ${made.stderr}`);
  for (const loop of loops) {
    const handle = await open(loop, 'r+');
    try {
      if (loop === loops[1]) await handle.write(foreignLabel, 0, foreignLabel.length, 0);
      await handle.sync();
    } finally {
      await handle.close();
    }
  }
}

async function wait<T extends KubeObject & { status?: unknown }>(
  resource: Resource<T>,
  name: string,
  accept: (object: Stored<T>) => boolean,
  timeoutMs = 60_000,
  where = namespace,
): Promise<Stored<T>> {
  const ref = { namespace: where, name };
  const accepted = (one: Stored<T> | undefined) => one !== undefined && accept(one);
  return (await reach(resource, ref, accepted, timeoutMs)) as Stored<T>;
}

const gone = (resource: Resource, name: string, where = namespace, timeoutMs = 60_000) =>
  reach(resource, { namespace: where, name }, (one) => one === undefined, timeoutMs);

/** Waits; what it was stuck at says more than the time that passed. */
async function reach<T extends KubeObject & { status?: unknown }>(
  resource: Resource<T>,
  ref: ObjectRef,
  accept: (object: Stored<T> | undefined) => boolean,
  timeoutMs: number,
): Promise<Stored<T> | undefined> {
  return await waitForObject(client, resource, ref, accept, { signal, timeoutMs }).catch(
    async (cause: unknown) => {
      const now = await client.get(resource, ref, { signal });
      throw new Error(`${resource.kind} ${ref.name} stayed ${JSON.stringify(now?.status)}`, { cause });
    },
  );
}

async function apply(...manifests: object[]): Promise<void> {
  const input = JSON.stringify({ apiVersion: 'v1', kind: 'List', items: manifests });
  const { code, stderr } = await instance.kubectlOutcome(['apply', '-f', '-'], input);
  expect(code, stderr).toBe(0);
}

type WithConditions = CephCluster | CephBlockPool;
const condition = (object: WithConditions, type: string) =>
  object.status?.conditions?.find((one) => one.type === type);
const isReady = (object: WithConditions) => object.status?.phase === 'Ready';

const selectDisks = (numbers: string) => `^/dev/disk/by-id/holdfast-node1-disk[${numbers}]$`;

const cluster = (spec: object = {}, name = 'rook-ceph') => ({
  apiVersion: 'ceph.rook.io/v1',
  kind: 'CephCluster',
  metadata: { name, namespace },
  spec: {
    cephVersion: { image: 'quay.io/ceph/ceph:v16.2.15' },
    dataDirHostPath: '/var/lib/rook',
    mon: { count: 1 },
    mgr: { count: 1 },
    crashCollector: { disable: true },
    // Asked for, and not there yet: the condition has to name it.
    dashboard: { enabled: true },
    storage: { useAllNodes: true, useAllDevices: false, devicePathFilter: selectDisks('1245') },
    ...spec,
  },
});
const blockPool = (name: string, size: number) => ({
  apiVersion: 'ceph.rook.io/v1',
  kind: 'CephBlockPool',
  metadata: { name, namespace },
  spec: { failureDomain: 'osd', replicated: { size, requireSafeReplicaSize: false } },
});

beforeAll(async () => {
  await instance.purge().catch(() => undefined); // Left by a run that was killed.
  const up = await instance.holdfast('up', '--disks', '5', '--disk-size', '6Gi');
  expect(up.code, up.stdout + up.stderr).toBe(0);
  client = await instance.client();
  await signDisks();
  precious = await Promise.all([markOf(diskFile(4)), markOf(diskFile(5))]);
  await wait(Deployments, 'rook-ceph-operator', (one) => (one.status?.availableReplicas ?? 0) > 0);
}, 120_000);

afterAll(async () => {
  await client?.close();
  await instance.purge();
}, 120_000);

describe('a bad CephCluster', () => {
  test('is refused with all its errors, each with its path and what would be right', async () => {
    const bad = cluster({
      mon: { count: 10 },
      dataDirHostPath: '/etc/ceph',
      storage: { useAllNodes: true, useAllDevices: true, config: { databaseSizeMB: '-5' } },
    });
    const { code, stderr } = await instance.kubectlOutcome(['apply', '-f', '-'], JSON.stringify(bad));
    expect(code).toBe(1);
    expect(stderr).toMatch(/spec\.mon\.count: Invalid value: 10: .*less than or equal to 9/);
    expect(stderr).toMatch(/spec\.dataDirHostPath: Invalid value: "\/etc\/ceph": .*\/var\/lib\/rook/);
    expect(stderr).toMatch(/spec\.storage\.config\.databaseSizeMB: Invalid value: "-5": .*\^-\[0-9\]/);
    expect(await client.list(CephClusters, { namespace }, { signal })).toMatchObject({ items: [] });
  });

  test('with an unknown field gives a warning, and is refused by strict validation', async () => {
    const odd = JSON.stringify(cluster({ mon: { count: 1, cuont: 3 } }, 'odd'));
    const strict = await instance.kubectlOutcome(['apply', '--validate=strict', '-f', '-'], odd);
    expect(strict.code).toBe(1);
    expect(strict.stderr).toContain('unknown field "spec.mon.cuont"');
    const args = ['apply', '--validate=warn', '--dry-run=server', '-f', '-'];
    const lenient = await instance.kubectlOutcome(args, odd);
    expect(lenient.code, lenient.stderr).toBe(0);
    expect(lenient.stderr).toContain('Warning: unknown field "spec.mon.cuont"');
  });
});

test('nothing is touched while a live Rook operator runs, and it goes on when that is gone', async () => {
  const rookImage = 'docker.io/rook/ceph:v1.14.9';
  const rook: Pod = {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'rook', namespace, labels: { app: 'rook-ceph-operator' } },
    spec: {
      // No node runs it: its status is written here, as a kubelet would.
      nodeSelector: { rook: 'elsewhere' },
      containers: [{ name: 'operator', image: rookImage }],
    },
  };
  const pod = await client.create(Pods, rook, { signal });
  const state = { running: {} };
  const container = { name: 'operator', image: rookImage, imageID: '', ready: true, restartCount: 0, state };
  await patchStatus(
    client,
    Pods,
    pod,
    { ...pod.status, phase: 'Running', containerStatuses: [container] },
    { signal },
  );
  await apply(cluster(), blockPool('replicapool', 3));

  const standsBack = (one: WithConditions) => condition(one, 'RookOperatorActive')?.status === 'True';
  const blocked = await wait(CephClusters, 'rook-ceph', standsBack);
  expect(condition(blocked, 'RookOperatorActive')?.message).toMatch(/pod rook-ceph\/rook\).*scale/);
  // Phase and health are Rook's to say.
  expect(blocked.status?.phase).toBeUndefined();
  await wait(CephBlockPools, 'replicapool', standsBack);
  const deployments = await client.list(Deployments, { namespace }, { signal });
  expect(deployments.items.map((one) => one.metadata.name)).toEqual(['rook-ceph-operator']);
  expect((await client.list(Jobs, { namespace }, { signal })).items).toEqual([]);
  expect(await client.get(Secrets, { namespace, name: 'rook-ceph-mon' }, { signal })).toBeUndefined();

  await client.delete(Pods, { namespace, name: 'rook' }, { signal, gracePeriodSeconds: 0 });
  await wait(Secrets, 'rook-ceph-mon', () => true, 10_000);
});

describe('a cluster with fewer disks than copies', () => {
  test('is Ready, while its pool says what it lacks, and each disk and field has its word', async () => {
    const ready = await wait(CephClusters, 'rook-ceph', isReady, 90_000);
    const fields = condition(ready, 'FieldsNotHonoured');
    expect(fields).toMatchObject({ status: 'True', reason: 'FieldsNotHonoured' });
    expect(fields?.message).toContain('spec.dashboard.enabled');
    const pool = await wait(
      CephBlockPools,
      'replicapool',
      (one) => condition(one, 'Progressing')?.reason === 'TooFewFailureDomains',
    );
    expect(pool.status?.phase).toBe('Progressing');
    expect(pool.status?.message).toMatch(
      /3 copies need 3 failure domains of type osd.*there are 2; add OSDs/,
    );

    const devices = ready.status?.storage?.nodes?.[0]?.devices ?? [];
    const verdict = (disk: number) => devices.find((one) => one.device?.endsWith(`disk${disk}`));
    expect(verdict(1)).toMatchObject({ verdict: 'InUse', reason: 'OsdRunning' });
    expect(verdict(2)).toMatchObject({ verdict: 'InUse', reason: 'OsdRunning' });
    expect(verdict(3)).toMatchObject({ verdict: 'Available', reason: 'NotSelected' });
    expect(verdict(4)).toMatchObject({ verdict: 'Skipped', reason: 'HasFilesystem' });
    expect(verdict(4)?.message).toBe(`it holds ext4 (UUID ${preciousUuid})`);
    expect(verdict(5)).toMatchObject({ verdict: 'Skipped', reason: 'OtherCluster', owner: foreignFsid });
    expect(verdict(5)?.message).toContain(foreignFsid);
  });

  test('gets the third, and the pool is Ready; disks with a signature are as they were', async () => {
    await apply(cluster({ storage: { useAllNodes: true, devicePathFilter: selectDisks('1-5') } }));
    await wait(CephBlockPools, 'replicapool', isReady, 90_000);
    expect(await Promise.all(precious.map(({ file }) => markOf(file)))).toEqual(precious);
  });
});

const driver = 'rook-ceph.rbd.csi.ceph.com';
const storageClass = (name: string, parameters: Record<string, string> = {}) => {
  const secret = (purpose: string, value: string) => ({
    [`csi.storage.k8s.io/${purpose}-secret-name`]: value,
    [`csi.storage.k8s.io/${purpose}-secret-namespace`]: namespace,
  });
  return {
    apiVersion: 'storage.k8s.io/v1',
    kind: 'StorageClass',
    metadata: { name },
    provisioner: driver,
    parameters: {
      clusterID: namespace,
      pool: 'replicapool',
      ...secret('provisioner', 'rook-csi-rbd-provisioner'),
      ...secret('node-stage', 'rook-csi-rbd-node'),
      ...parameters,
    },
  };
};
const claim = (name: string, storageClassName: string, accessMode = 'ReadWriteOnce') => ({
  apiVersion: 'v1',
  kind: 'PersistentVolumeClaim',
  metadata: { name, namespace: 'default' },
  spec: { storageClassName, accessModes: [accessMode], resources: { requests: { storage: '64Mi' } } },
});
const isBound = (one: PersistentVolumeClaim) => one.status?.phase === 'Bound';

describe('a claim that cannot be served', () => {
  // Each with what its one warning has to say: what is wrong, and what to do.
  const claims: readonly [name: string, says: RegExp][] = [
    ['no-class', /storageclass.* "late-class" not found: create it/],
    ['no-pool', /pool "late-pool" does not exist.*create/],
    ['no-secret', /secret "rook-ceph\/late-secret" does not exist: create it/],
    ['many-writers', /one node only: use ReadWriteOnce, volumeMode Block/],
  ];
  const warnings = async (name: string): Promise<readonly Event[]> => {
    const fieldSelector = `involvedObject.name=${name},type=Warning`;
    return (await client.list(Events, { namespace: 'default', fieldSelector }, { signal })).items;
  };

  test('stays Pending with one warning that says why and what to do, and is tried a few times only', async () => {
    await apply(
      storageClass('late-pool', { pool: 'late-pool' }),
      storageClass('late-secret', { 'csi.storage.k8s.io/provisioner-secret-name': 'late-secret' }),
      storageClass('usual'),
      claim('no-class', 'late-class'),
      claim('no-pool', 'late-pool'),
      claim('no-secret', 'late-secret'),
      claim('many-writers', 'usual', 'ReadWriteMany'),
    );
    await systemClock.sleep(20_000);

    const log = await instance.kubectl('-n', namespace, 'logs', 'deploy/csi-rbdplugin-provisioner');
    for (const [name, says] of claims) {
      const ref = { namespace: 'default', name };
      const found = await client.get(PersistentVolumeClaims, ref, { signal });
      expect(found?.status?.phase, name).toBe('Pending');
      const told = await warnings(name);
      expect(
        told.map(({ message, count }) => [count, message]),
        name,
      ).toEqual([[1, expect.stringMatching(says)]]);
      const tries = log.split('\n').filter((line) => line.includes('claim waits') && line.includes(name));
      // Waiting 1, 2, 4 and 8 s between them, five tries fit into 20 s.
      expect(tries.length, tries.join('\n')).toBeLessThanOrEqual(6);
      if (name !== 'no-class') expect(tries.length, log).toBeGreaterThan(0);
    }
  }, 60_000);

  test('is bound once the class, the pool or the secret is there', async () => {
    const keys = { namespace, name: 'rook-csi-rbd-provisioner' };
    const right = await client.get(Secrets, keys, { signal });
    await apply(storageClass('late-class'), blockPool('late-pool', 1), {
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { name: 'late-secret', namespace },
      data: right?.data,
    });
    await client.delete(PersistentVolumeClaims, { namespace: 'default', name: 'many-writers' }, { signal });

    await Promise.all([
      wait(PersistentVolumeClaims, 'no-class', isBound, 10_000, 'default'),
      wait(PersistentVolumeClaims, 'no-secret', isBound, 10_000, 'default'),
      // Nobody tells the driver of a pool, so the next try counts: at most 30 s and a fifth.
      wait(PersistentVolumeClaims, 'no-pool', isBound, 50_000, 'default'),
      gone(PersistentVolumeClaims, 'many-writers', 'default'),
    ]);
  });
});

test('a cluster is kept by its pools, and a pool by its images, until the last one is gone', async () => {
  await client.delete(CephClusters, { namespace, name: 'rook-ceph' }, { signal });
  const kept = (one: WithConditions) => condition(one, 'DeletionIsBlocked')?.status === 'True';
  const blocked = await wait(CephClusters, 'rook-ceph', kept);
  expect(condition(blocked, 'DeletionIsBlocked')).toMatchObject({ reason: 'ObjectHasDependents' });
  expect(blocked.status?.message).toMatch(/CephBlockPool late-pool, replicapool must be deleted first/);
  for (const name of ['replicapool', 'late-pool'])
    await client.delete(CephBlockPools, { namespace, name }, { signal });
  const full = await wait(CephBlockPools, 'replicapool', kept);
  expect(condition(full, 'DeletionIsBlocked')).toMatchObject({ reason: 'PoolNotEmpty' });
  expect(full.status?.message).toMatch(/holds 2 images \(csi-vol-.*; delete the PersistentVolumeClaims/);
  const other = await wait(CephBlockPools, 'late-pool', kept);
  expect(other.status?.message).toContain('holds 1 image (csi-vol-');
  // Deleting is only asked for: everything still serves.
  const osd = await client.get(Deployments, { namespace, name: 'rook-ceph-osd-0' }, { signal });
  expect(osd?.status?.availableReplicas).toBe(1);

  for (const name of ['no-class', 'no-secret', 'no-pool'])
    await client.delete(PersistentVolumeClaims, { namespace: 'default', name }, { signal });
  await Promise.all([gone(CephBlockPools, 'replicapool'), gone(CephBlockPools, 'late-pool')]);
  await gone(CephClusters, 'rook-ceph');
  const deployments = await client.list(Deployments, { namespace }, { signal });
  expect(deployments.items.map((one) => one.metadata.name)).not.toContain('rook-ceph-osd-0');
  // What is on the disks stays: their owner may want it back.
  const head = Buffer.alloc(22);
  const handle = await open(diskFile(1), 'r');
  await handle.read(head, 0, head.length, 0);
  await handle.close();
  expect(head.toString()).toBe('bluestore block device');
  expect(await Promise.all(precious.map(({ file }) => markOf(file)))).toEqual(precious);
});

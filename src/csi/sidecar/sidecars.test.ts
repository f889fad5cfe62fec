import { readFile } from 'node:fs/promises';
import type { PersistentVolumeClaim } from 'kubernetes-types/core/v1.js';
import { afterEach, expect, test } from 'vitest';
import { fakeCeph } from '../../ceph/fake/fake-ceph.ts';
import { CephBlockPools, type CephBlockPool } from '../../api/ceph/ceph-block-pool.ts';
import {
  CSINodes,
  Events,
  PersistentVolumeClaims,
  PersistentVolumes,
  Secrets,
  StorageClasses,
  VolumeAttachments,
} from '../../api/core.ts';
import type { KubeObject, Resource, Stored } from '../../api/resource.ts';
import { createManager } from '../../control/manager.ts';
import type { KubeClient } from '../../kube/client.ts';
import { createEventRecorder } from '../../kube/events.ts';
import { loadKubeConfig } from '../../kube/kubeconfig.ts';
import { applyManifests, parseManifests } from '../../kube/manifests.ts';
import { createKubeClient } from '../../kube/undici-client.ts';
import { systemClock, virtualClock, type Clock } from '../../lib/clock.ts';
import { silentLogger } from '../../lib/log.ts';
import { startTestApi } from '../../../test/support/api-server.ts';
import { openClusters } from '../clusters.ts';
import { controllerService } from '../controller.ts';
import { trashBin } from '../rbd/trash-bin.ts';
import { staticImages } from '../rbd/static-images.ts';
import { rbdVolumes } from '../rbd/volumes.ts';
import { addCsiSidecars } from './sidecars.ts';

const driver = 'rook-ceph.rbd.csi.ceph.com';
const finalizer = 'external-attacher/rook-ceph-rbd-csi-ceph-com';
const closers: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

/** The real API server, the real sidecars and the real driver over a fake Ceph cluster. */
async function bench({
  pool = true,
  secret = true,
  poolKind = false,
  parameters = {},
  /** One that stands still lets nothing be tried again by itself: only what is heard of counts. */
  clock = systemClock as Clock,
} = {}) {
  const api = await startTestApi();
  const plain = createKubeClient(await loadKubeConfig(api.kubeconfig));
  const reads: string[] = [];
  const client: KubeClient = {
    ...plain,
    async get(resource, ref, own) {
      reads.push(resource.plural);
      return await plain.get(resource, ref, own);
    },
  };
  const stop = new AbortController();
  const { signal } = stop;
  const ceph = fakeCeph();
  const makePool = () =>
    ceph.mon({ prefix: 'osd pool create', pool: 'rbd', pg_num: 8 }, anything, { signal });
  if (pool) await makePool();
  const entry = { clusterId: 'rook-ceph', monitors: ['10.0.0.1:3300'] };
  const config = { all: async () => [entry], cluster: async () => entry };
  const clusters = openClusters(config, ceph.open);
  const volumes = rbdVolumes(clusters, trashBin({ clock: systemClock, log: silentLogger, signal }));
  const deps = { client, clock: systemClock, log: silentLogger };
  if (poolKind) {
    const kind = await readFile(
      new URL('../../../deploy/crds/cephblockpools.ceph.rook.io.yaml', import.meta.url),
      'utf8',
    );
    await applyManifests(client, parseManifests(kind, 'crd'), { fieldManager: 'test', signal });
  }
  const manager = createManager({ ...deps, clock });
  const events = createEventRecorder({ ...deps, component: driver, signal });
  const controller = controllerService({
    volumes,
    images: staticImages(clusters),
    now: () => systemClock.now(),
  });
  addCsiSidecars(manager, {
    driver,
    controller,
    client,
    events,
    now: () => Date.now(),
    secretNamespace: 'default',
    poolNamespace: poolKind ? 'default' : undefined,
  });
  const running = manager.run(signal);
  closers.push(
    () => api.close(),
    () => client.close(),
    () => running,
    async () => stop.abort(),
  );
  const options = { signal };
  const makeSecret = () =>
    client.create(
      Secrets,
      {
        metadata: { namespace: 'default', name: 'rbd' },
        data: { userID: btoa('csi'), userKey: btoa('very-secret') },
      },
      options,
    );
  if (secret) await makeSecret();
  const prefix = 'csi.storage.k8s.io';
  await client.create(
    StorageClasses,
    {
      metadata: { name: 'block' },
      provisioner: driver,
      parameters: {
        clusterID: 'rook-ceph',
        pool: 'rbd',
        ...parameters,
        [`${prefix}/provisioner-secret-name`]: 'rbd',
        [`${prefix}/provisioner-secret-namespace`]: '${pvc.namespace}',
        [`${prefix}/node-stage-secret-name`]: 'rbd',
        [`${prefix}/node-stage-secret-namespace`]: 'default',
        [`${prefix}/fstype`]: 'xfs',
      },
      reclaimPolicy: 'Delete',
      mountOptions: ['discard'],
    },
    options,
  );
  const claim = (name = 'data', spec: Partial<PersistentVolumeClaim['spec']> = {}) =>
    client.create(
      PersistentVolumeClaims,
      {
        metadata: {
          namespace: 'default',
          name,
          annotations: { 'volume.kubernetes.io/storage-provisioner': driver },
        },
        spec: {
          accessModes: ['ReadWriteOnce'],
          resources: { requests: { storage: '10Mi' } },
          storageClassName: 'block',
          ...spec,
        },
      },
      options,
    );
  const until = async <T extends KubeObject, R>(
    resource: Resource<T>,
    ready: (all: readonly Stored<T>[]) => R | undefined | false,
  ): Promise<R> => {
    for (let turn = 0; turn < 400; turn++) {
      const result = ready((await client.list(resource, {}, options)).items);
      if (result !== undefined && result !== false) return result;
      await systemClock.sleep(20);
    }
    throw new Error(
      `waited in vain for ${resource.kind}: ${JSON.stringify((await client.list(resource, {}, options)).items)}`,
    );
  };
  const images = () => ceph.rbd.list({ pool: 'rbd' }, options);
  return { client, ceph, claim, until, images, options, reads, makePool, makeSecret };
}
const anything = (await import('zod')).z.unknown();
const attachmentOf = (node: string, volume: string) => ({
  metadata: { name: node },
  spec: { attacher: driver, nodeName: node, source: { persistentVolumeName: volume } },
});
const nodeOf = (name: string, id: string) => ({
  metadata: { name },
  spec: { drivers: [{ name: driver, nodeID: id }] },
});

test('a claim becomes a PV that upstream and ceph-csi read as their own, and a released PV loses its image', async () => {
  const { client, claim, until, images, options, reads } = await bench();
  const made = await claim();
  const volume = await until(PersistentVolumes, ([one]) => one);
  expect(reads, 'what is watched is not asked for').toEqual([]);
  expect(volume.metadata).toMatchObject({
    name: `pvc-${made.metadata.uid}`,
    annotations: {
      'pv.kubernetes.io/provisioned-by': driver,
      'volume.kubernetes.io/provisioner-deletion-secret-name': 'rbd',
      'volume.kubernetes.io/provisioner-deletion-secret-namespace': 'default',
    },
  });
  const [image] = await images();
  expect(volume.spec).toMatchObject({
    capacity: { storage: '10Mi' },
    accessModes: ['ReadWriteOnce'],
    mountOptions: ['discard'],
    persistentVolumeReclaimPolicy: 'Delete',
    claimRef: { namespace: 'default', name: 'data', uid: made.metadata.uid },
    csi: {
      driver,
      fsType: 'xfs',
      nodeStageSecretRef: { name: 'rbd', namespace: 'default' },
      volumeAttributes: { clusterID: 'rook-ceph', pool: 'rbd', journalPool: 'rbd', imageName: image?.name },
    },
  });
  expect(volume.spec?.nodeAffinity).toBeUndefined();
  expect(JSON.stringify(volume)).not.toContain('very-secret');
  await until(Events, (all) => all.find(({ reason }) => reason === 'ProvisioningSucceeded'));
  const { items: told } = await client.list(Events, { namespace: 'default' }, options);
  expect(told.map(({ reason }) => reason)).toEqual(['ProvisioningSucceeded']);

  await client.patch(
    PersistentVolumes,
    volume.metadata,
    { type: 'merge', body: { status: { phase: 'Released' } } },
    { ...options, subresource: 'status' },
  );
  await until(PersistentVolumes, (all) =>
    all.every((one) => !one.metadata.finalizers?.some((name) => name.startsWith('external-'))),
  );
  expect(await images()).toEqual([]);
});

test('a missing pool gives one event that names it, and the claim goes on once it is there', async () => {
  const { claim, until, makePool } = await bench({ pool: false });
  await claim();
  const event = await until(Events, (all) => all.find(({ reason }) => reason === 'ProvisioningFailed'));
  expect(event.message).toContain('failed to provision volume with StorageClass "block": rpc error: code = ');
  expect(event.message).toContain('"rbd"');
  await makePool();
  await until(PersistentVolumes, ([one]) => one);
  const failures = await until(Events, (all) => all.filter(({ reason }) => reason === 'ProvisioningFailed'));
  expect(failures.map(({ count }) => count)).toEqual([1]);
});

test('a claim goes on when its pool becomes Ready', async () => {
  const { client, claim, until, makePool, options } = await bench({
    pool: false,
    poolKind: true,
    clock: virtualClock(),
  });
  await claim();
  await until(Events, (all) => all.find(({ reason }) => reason === 'ProvisioningFailed'));
  await makePool();
  const name = 'rbd';
  const spec = { replicated: { size: 3 } } as CephBlockPool['spec'];
  await client.create(CephBlockPools, { metadata: { namespace: 'default', name }, spec }, options);
  const patch = { type: 'merge' as const, body: { status: { phase: 'Ready' } } };
  await client.patch(CephBlockPools, { namespace: 'default', name }, patch, {
    ...options,
    subresource: 'status',
  });
  await until(PersistentVolumes, ([one]) => one);
});

test('a parameter without effect is said once, and the claim gets its volume', async () => {
  const { claim, until } = await bench({
    parameters: { cephLogDir: '/var/log/ceph', cephLogStrategy: 'remove' },
  });
  await claim();
  await until(PersistentVolumes, ([one]) => one);
  const event = await until(Events, (all) => all.find(({ reason }) => reason === 'ParameterWithoutEffect'));
  expect(event).toMatchObject({ type: 'Normal', involvedObject: { name: 'data' } });
  expect(event.message).toMatch(/^StorageClass "block": "cephLogDir" has no effect: .*"cephLogStrategy"/);
});

test('a missing secret is named without its content, and its coming is enough', async () => {
  const { claim, until, makeSecret } = await bench({ secret: false });
  await claim();
  const event = await until(Events, (all) => all.find(({ reason }) => reason === 'ProvisioningFailed'));
  expect(event.message).toMatch(/default\/rbd/);
  await makeSecret();
  await until(PersistentVolumes, ([one]) => one);
});

test('a filesystem for many nodes is refused with what to use instead, and no image is left', async () => {
  const { claim, until, images } = await bench();
  await claim('shared', { accessModes: ['ReadWriteMany'] });
  const event = await until(Events, (all) => all.find(({ reason }) => reason === 'ProvisioningFailed'));
  expect(event.message).toMatch(/code = InvalidArgument.*volumeMode Block.*CephFS/);
  expect(await images()).toEqual([]);
});

test('an attachment locks the image for one node; a second node is told who has it, and gets it after the first', async () => {
  const { client, ceph, claim, until, options } = await bench({ clock: virtualClock() });
  await claim();
  const volume = await until(PersistentVolumes, ([one]) => one);
  for (const name of ['n1', 'n2']) await client.create(CSINodes, nodeOf(name, `id-${name}`), options);
  const attach = (name: string) =>
    client.create(VolumeAttachments, attachmentOf(name, volume.metadata.name), options);
  await attach('n1');
  const first = await until(VolumeAttachments, (all) => all.find((one) => one.status?.attached));
  expect(first.metadata.finalizers).toContain(finalizer);
  expect(ceph.sent.filter((one) => one === 'lock')).toEqual(['lock']);
  expect(first.metadata.annotations).toMatchObject({ 'csi.alpha.kubernetes.io/node-id': 'id-n1' });
  expect((await client.get(PersistentVolumes, volume.metadata, options))?.metadata.finalizers).toContain(
    finalizer,
  );

  await attach('n2');
  const refused = await until(VolumeAttachments, (all) => all.find((one) => one.status?.attachError));
  expect(refused.metadata.name).toBe('n2');
  expect(refused.status?.attachError?.message).toMatch(/code = FailedPrecondition.*id-n1/);

  await client.delete(VolumeAttachments, { name: 'n1' }, options);
  await until(VolumeAttachments, (all) => all.every((one) => one.metadata.name !== 'n1'));
  const second = await until(VolumeAttachments, (all) => all.find((one) => one.status?.attached));
  expect(second.status?.attachError).toBeUndefined();
});

test('a volume that is being deleted is not attached, whatever was known of it before', async () => {
  const { client, ceph, claim, until, options } = await bench();
  await claim();
  const volume = await until(PersistentVolumes, ([one]) => one);
  await client.create(
    CSINodes,
    { metadata: { name: 'n1' }, spec: { drivers: [{ name: driver, nodeID: 'id-n1' }] } },
    options,
  );
  await client.delete(PersistentVolumes, volume.metadata, options);
  const { name } = volume.metadata;
  await client.create(
    VolumeAttachments,
    {
      metadata: { name: 'late' },
      spec: { attacher: driver, nodeName: 'n1', source: { persistentVolumeName: name } },
    },
    options,
  );
  const refused = await until(VolumeAttachments, (all) => all.find((one) => one.status?.attachError));
  expect(refused.status?.attachError?.message).toMatch(/is being deleted|does not exist/);
  expect(ceph.sent.filter((one) => one === 'lock')).toEqual([]);
});

test('a volume that is still open is asked for every few seconds, however long it takes', async () => {
  const clock = virtualClock();
  const { client, ceph, claim, until, images, options } = await bench({ clock });
  await claim();
  const volume = await until(PersistentVolumes, ([one]) => one);
  await client.create(CSINodes, nodeOf('n1', 'n1'), options);
  await client.create(VolumeAttachments, attachmentOf('n1', volume.metadata.name), options);
  await until(VolumeAttachments, (all) => all.find((one) => one.status?.attached));
  const [image] = await images();
  const tries = () => ceph.sent.filter((operation) => operation === 'rbd watchers').length;
  // A call in between, so that what is under way may end.
  const step = async () => void (await clock.advance(500), await until(VolumeAttachments, () => true));
  {
    using _killed = ceph.watch({ pool: 'rbd' }, image?.name ?? '');
    await client.delete(VolumeAttachments, { name: 'n1' }, options);
    await until(VolumeAttachments, ([one]) =>
      one?.status?.detachError?.message?.includes('still open on node n1'),
    );
    for (let turn = 0; turn < 7; turn++) {
      const before = tries();
      for (let waitedMs = 0; tries() === before; waitedMs += 500) {
        expect(waitedMs, `try ${turn}`).toBeLessThanOrEqual(12_000);
        await step();
      }
    }
  }
  for (let turn = 0; turn < 24; turn++) await step();
  await until(VolumeAttachments, (all) => all.length === 0);
});

test('a bound claim that asks for more gets a larger image and PV, and waits for its node with a condition', async () => {
  const { client, ceph, claim, until, images, options } = await bench();
  const made = await claim();
  const volume = await until(PersistentVolumes, ([one]) => one);
  // What the binder does.
  await client.patch(
    PersistentVolumeClaims,
    made.metadata,
    { type: 'merge', body: { spec: { volumeName: volume.metadata.name } } },
    options,
  );
  const status = { phase: 'Bound', capacity: { storage: '10Mi' } };
  await client.patch(
    PersistentVolumeClaims,
    made.metadata,
    { type: 'merge', body: { status } },
    { ...options, subresource: 'status' },
  );
  await client.patch(
    StorageClasses,
    { name: 'block' },
    { type: 'merge', body: { allowVolumeExpansion: true } },
    options,
  );
  const more = { spec: { resources: { requests: { storage: '20Mi' } } } };
  await client.patch(PersistentVolumeClaims, made.metadata, { type: 'merge', body: more }, options);

  const grown = await until(PersistentVolumeClaims, (all) =>
    all.find((one) => one.status?.conditions?.some(({ type }) => type === 'FileSystemResizePending')),
  );
  expect(grown.status?.conditions?.map(({ type }) => type)).toEqual(['FileSystemResizePending']);
  expect(grown.status?.capacity).toEqual({ storage: '10Mi' });
  expect((await client.get(PersistentVolumes, volume.metadata, options))?.spec?.capacity).toEqual({
    storage: '20Mi',
  });
  const [image] = await images();
  expect((await ceph.rbd.info({ pool: 'rbd' }, image?.name ?? '', options))?.sizeBytes).toBe(
    20n * 1024n * 1024n,
  );
});

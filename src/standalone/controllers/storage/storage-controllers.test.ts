import type { PersistentVolume, PersistentVolumeClaim, Pod } from 'kubernetes-types/core/v1.js';
import type { CSIDriver, StorageClass } from 'kubernetes-types/storage/v1.js';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { startTestApi, type TestApi } from '../../../../test/support/api-server.ts';
import {
  CSIDrivers,
  Events,
  Nodes,
  PersistentVolumeClaims,
  PersistentVolumes,
  Pods,
  StorageClasses,
  VolumeAttachments,
} from '../../../api/core.ts';
import { createManager } from '../../../control/manager.ts';
import type { KubeClient } from '../../../kube/client.ts';
import { createEventRecorder } from '../../../kube/events.ts';
import { loadKubeConfig } from '../../../kube/kubeconfig.ts';
import { createKubeClient } from '../../../kube/undici-client.ts';
import { waitForObject } from '../../../kube/wait.ts';
import { systemClock, virtualClock, type VirtualClock } from '../../../lib/clock.ts';
import { silentLogger } from '../../../lib/log.ts';
import { attachmentName } from './attachment.ts';
import { addStorageControllers } from './storage-controllers.ts';

let api: TestApi;
let client: KubeClient;
let running: Promise<void>;
let stop: AbortController;
/** The time of events. */
let clock: VirtualClock;
const options = { signal: new AbortController().signal, timeoutMs: 15_000 };

beforeEach(async () => {
  api = await startTestApi();
  client = createKubeClient(await loadKubeConfig(api.kubeconfig));
  stop = new AbortController();
  const deps = { client, clock: systemClock, log: silentLogger };
  const manager = createManager(deps);
  clock = virtualClock();
  const recorder = (component: string) =>
    createEventRecorder({ ...deps, clock, component, signal: stop.signal });
  addStorageControllers(manager, {
    client,
    binderEvents: recorder('persistentvolume-controller'),
    attachEvents: recorder('attachdetach-controller'),
  });
  running = manager.run(stop.signal);
});
afterEach(async () => {
  stop.abort();
  await running;
  await client.close();
  await api.close();
});

const claim = (name: string, spec: object = {}): PersistentVolumeClaim => ({
  apiVersion: 'v1',
  kind: 'PersistentVolumeClaim',
  metadata: { name, namespace: 'default' },
  spec: {
    accessModes: ['ReadWriteOnce'],
    resources: { requests: { storage: '1Gi' } },
    storageClassName: 'block',
    ...spec,
  },
});
const volume = (name: string, spec: object = {}): PersistentVolume => ({
  apiVersion: 'v1',
  kind: 'PersistentVolume',
  metadata: { name },
  spec: {
    accessModes: ['ReadWriteOnce'],
    capacity: { storage: '1Gi' },
    storageClassName: 'block',
    persistentVolumeReclaimPolicy: 'Retain',
    csi: { driver: 'rbd.example', volumeHandle: `handle-${name}` },
    ...spec,
  },
});
const block = (name: string, annotations: Record<string, string> = {}, more: object = {}): StorageClass => ({
  apiVersion: 'storage.k8s.io/v1',
  kind: 'StorageClass',
  metadata: { name, annotations },
  provisioner: 'rbd.example',
  ...more,
});
const inDefault = (name: string) => ({ namespace: 'default', name });
const waitForClaim = (name: string, accept: (found: PersistentVolumeClaim | undefined) => boolean) =>
  waitForObject(client, PersistentVolumeClaims, inDefault(name), accept, options);
const waitForVolume = (name: string, accept: (found: PersistentVolume | undefined) => boolean) =>
  waitForObject(client, PersistentVolumes, { name }, accept, options);
const eventOf = async (name: string, reason: string): Promise<string> => {
  let message: string | undefined;
  const look = async () => {
    await clock.advance(1_000);
    const { items } = await client.list(Events, { namespace: 'default' }, options);
    message = items.find((one) => one.involvedObject.name === name && one.reason === reason)?.message;
    return message;
  };
  await expect.poll(look, { interval: 20, message: `event ${reason} of ${name}` }).toBeDefined();
  return message ?? '';
};

test('a claim and a volume find each other; the volume is released when the claim goes', async () => {
  await client.create(PersistentVolumes, volume('pv'), options);
  await client.create(PersistentVolumeClaims, claim('c'), options);
  const bound = await waitForClaim('c', (found) => found?.status?.phase === 'Bound');
  expect(bound).toMatchObject({
    spec: { volumeName: 'pv' },
    status: { capacity: { storage: '1Gi' }, accessModes: ['ReadWriteOnce'] },
  });
  expect(await client.get(PersistentVolumes, { name: 'pv' }, options)).toMatchObject({
    spec: { claimRef: { name: 'c', uid: bound?.metadata.uid } },
    status: { phase: 'Bound' },
  });

  await client.delete(PersistentVolumeClaims, inDefault('c'), options);
  await waitForClaim('c', (found) => found === undefined);
  const released = await waitForVolume('pv', (found) => found?.status?.phase === 'Released');
  expect(released?.spec?.claimRef?.uid).toBe(bound?.metadata.uid);
});

test('a claim that waits says for what, and gets the default class once there is one', async () => {
  await client.create(PersistentVolumeClaims, claim('c', { storageClassName: undefined }), options);
  expect(await eventOf('c', 'FailedBinding')).toBe(
    'no persistent volumes available for this claim and no storage class is set',
  );
  await client.create(
    StorageClasses,
    block('fast', { 'storageclass.kubernetes.io/is-default-class': 'true' }),
    options,
  );
  const given = await waitForClaim(
    'c',
    (found) => found?.metadata?.annotations?.['volume.kubernetes.io/storage-provisioner'] !== undefined,
  );
  expect(given?.spec?.storageClassName).toBe('fast');
  expect(await eventOf('c', 'ExternalProvisioning')).toContain("external provisioner 'rbd.example'");
});

test('a claim whose volume comes within seconds is not told that it waits', async () => {
  await client.create(StorageClasses, block('block'), options);
  const made = await client.create(PersistentVolumeClaims, claim('c'), options);
  await waitForClaim('c', (found) => found?.metadata?.annotations !== undefined);
  const claimRef = { namespace: 'default', name: 'c', uid: made.metadata.uid };
  await client.create(PersistentVolumes, volume('pv', { claimRef }), options);
  await waitForClaim('c', (found) => found?.status?.phase === 'Bound');
  // A claim that nobody serves is told, and by then the other one would have been.
  await client.create(PersistentVolumeClaims, claim('late'), options);
  await eventOf('late', 'ExternalProvisioning');
  const { items } = await client.list(Events, { namespace: 'default' }, options);
  expect(items.map((one) => one.involvedObject.name)).toEqual(['late']);
});

test('a class that does not exist is named, and its arrival is noticed', async () => {
  await client.create(PersistentVolumeClaims, claim('c', { storageClassName: 'typo' }), options);
  expect(await eventOf('c', 'ProvisioningFailed')).toMatch(
    /^storageclass.storage.k8s.io "typo" not found: create it/,
  );
  await client.create(StorageClasses, block('typo'), options);
  await waitForClaim(
    'c',
    (found) => found?.metadata?.annotations?.['volume.kubernetes.io/storage-provisioner'] === 'rbd.example',
  );
});

test('a class that waits for its first consumer binds nothing before', async () => {
  await client.create(
    StorageClasses,
    block('late', {}, { volumeBindingMode: 'WaitForFirstConsumer' }),
    options,
  );
  await client.create(PersistentVolumes, volume('pv', { storageClassName: 'late' }), options);
  await client.create(PersistentVolumeClaims, claim('c', { storageClassName: 'late' }), options);
  await eventOf('c', 'WaitForFirstConsumer');
  expect((await client.get(PersistentVolumeClaims, inDefault('c'), options))?.status?.phase).toBe('Pending');
  const annotations = { 'volume.kubernetes.io/selected-node': 'n1' };
  await client.patch(
    PersistentVolumeClaims,
    inDefault('c'),
    { type: 'merge', body: { metadata: { annotations } } },
    options,
  );
  await waitForClaim('c', (found) => found?.status?.phase === 'Bound');
});

const pod = (name: string, nodeName: string, claimName: string): Pod => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name, namespace: 'default' },
  spec: {
    nodeName,
    containers: [{ name: 'main', image: 'busybox' }],
    volumes: [{ name: 'data', persistentVolumeClaim: { claimName } }],
  },
});

test('a claim in use outlives its deletion until the pod is gone', async () => {
  await client.create(PersistentVolumes, volume('pv'), options);
  await client.create(PersistentVolumeClaims, claim('c'), options);
  await waitForClaim('c', (found) => found?.status?.phase === 'Bound');
  await client.create(Pods, pod('p', 'n1', 'c'), options);
  await client.delete(PersistentVolumeClaims, inDefault('c'), options);
  await waitForClaim('c', (found) => found?.metadata?.deletionTimestamp !== undefined);
  await systemClock.sleep(100); // Long enough for a finalizer that is wrongly removed to be gone.
  expect(await client.get(PersistentVolumeClaims, inDefault('c'), options)).toBeDefined();
  await client.delete(Pods, inDefault('p'), { ...options, gracePeriodSeconds: 0 });
  await waitForClaim('c', (found) => found === undefined);
});

test('one node at a time: the second waits with a reason, until the first says that it is done', async () => {
  for (const name of ['n1', 'n2']) {
    await client.create(Nodes, { apiVersion: 'v1', kind: 'Node', metadata: { name } }, options);
  }
  const driver: CSIDriver = {
    apiVersion: 'storage.k8s.io/v1',
    kind: 'CSIDriver',
    metadata: { name: 'rbd.example' },
    spec: { attachRequired: true },
  };
  await client.create(CSIDrivers, driver, options);
  await client.create(PersistentVolumes, volume('pv'), options);
  await client.create(PersistentVolumeClaims, claim('c'), options);
  await waitForClaim('c', (found) => found?.status?.phase === 'Bound');

  const first = attachmentName('handle-pv', 'rbd.example', 'n1');
  const second = attachmentName('handle-pv', 'rbd.example', 'n2');
  const wait = (name: string, accept: (there: boolean) => boolean) =>
    waitForObject(client, VolumeAttachments, { name }, (found) => accept(found !== undefined), options);
  await client.create(Pods, pod('a', 'n1', 'c'), options);
  await wait(first, (there) => there);
  await client.patch(
    VolumeAttachments,
    { name: first },
    { type: 'merge', body: { status: { attached: true } } },
    { ...options, subresource: 'status' },
  );
  const inUse = { volumesInUse: ['kubernetes.io/csi/rbd.example^handle-pv'] };
  await client.patch(
    Nodes,
    { name: 'n1' },
    { type: 'merge', body: { status: inUse } },
    { ...options, subresource: 'status' },
  );
  await waitForObject(
    client,
    Nodes,
    { name: 'n1' },
    (node) => node?.status?.volumesAttached?.[0]?.name === inUse.volumesInUse[0],
    options,
  );

  await client.create(Pods, pod('b', 'n2', 'c'), options);
  expect(await eventOf('b', 'FailedAttachVolume')).toBe(
    'Multi-Attach error for volume "pv" Volume is already used by pod(s) default/a on node n1',
  );
  await client.delete(Pods, inDefault('a'), { ...options, gracePeriodSeconds: 0 });
  await systemClock.sleep(100); // The pod is gone, but the node has not unmounted yet.
  expect(await client.get(VolumeAttachments, { name: first }, options)).toBeDefined();

  await client.patch(
    Nodes,
    { name: 'n1' },
    { type: 'merge', body: { status: { volumesInUse: [] } } },
    { ...options, subresource: 'status' },
  );
  await wait(first, (there) => !there);
  await wait(second, (there) => there);
});

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client, credentials, Server, ServerCredentials } from '@grpc/grpc-js';
import { afterEach, expect, test } from 'vitest';
import { z } from 'zod';
import { fakeCeph } from '../ceph/fake/fake-ceph.ts';
import { Controller, Identity, VolumeCapability_AccessMode_Mode as Mode } from '../gen/csi/v1/csi_pb.js';
import { systemClock } from '../lib/clock.ts';
import { addService, unaryClient } from '../lib/grpc.ts';
import { silentLogger } from '../lib/log.ts';
import { codeOf } from '../../test/support/rpc-code.ts';
import { openClusters } from './clusters.ts';
import { parseClusterConfig } from './cluster-config.ts';
import { controllerService } from './controller.ts';
import { identityService } from './identity.ts';
import { parametersWithoutEffect, parseRbdParameters } from './parameters.ts';
import { trashBin } from './rbd/trash-bin.ts';
import { staticImages } from './rbd/static-images.ts';
import { rbdVolumes } from './rbd/volumes.ts';
import { rpcFailure } from './rpc-failure.ts';

// What csi-sanity expects of a controller, asked over a real socket; the cluster behind it is the fake.

const closers: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});
const options = { signal: new AbortController().signal };
const secrets = { userID: 'csi', userKey: 'k' };
const gib = 1024n ** 3n;
const parameters = { clusterID: 'rook-ceph', pool: 'rbd' };
const writer = {
  accessType: { case: 'mount' as const, value: { fsType: 'ext4' } },
  accessMode: { mode: Mode.SINGLE_NODE_WRITER },
};
const unknownId = '0001-0009-rook-ceph-0000000000000001-c530ba07-fcdd-11ea-a0e2-4efdc282348e';

async function bench() {
  const ceph = fakeCeph();
  await ceph.mon({ prefix: 'osd pool create', pool: 'rbd', pg_num: 8 }, z.unknown(), options);
  const entry = { clusterId: 'rook-ceph', monitors: ['10.0.0.1:3300'] };
  const config = { all: async () => [entry], cluster: async () => entry };
  const trash = trashBin({ clock: systemClock, log: silentLogger, signal: options.signal });
  const clusters = openClusters(config, ceph.open);
  const server = new Server();
  const service = controllerService({
    volumes: rbdVolumes(clusters, trash),
    images: staticImages(clusters),
    now: () => 0,
    nodeExists: async (node) => node !== 'absent',
    bootIdOf: async (node) => `boot-of-${node}`,
  });
  addService(server, Controller, service, rpcFailure);
  addService(
    server,
    Identity,
    identityService({ driver: 'd.example.com', version: '1' }, async () => true),
    rpcFailure,
  );
  const folder = await mkdtemp(join(tmpdir(), 'csi-'));
  const address = `unix:${join(folder, 's')}`;
  await new Promise<void>((resolve, reject) =>
    server.bindAsync(address, ServerCredentials.createInsecure(), (error) =>
      error ? reject(error) : resolve(),
    ),
  );
  const channel = new Client(address, credentials.createInsecure());
  closers.push(
    () => rm(folder, { recursive: true, force: true }),
    () => server.forceShutdown(),
    () => channel.close(),
    () => trash.idle(),
  );
  const controller = unaryClient(channel, Controller);
  const request = {
    name: 'v1',
    parameters,
    secrets,
    volumeCapabilities: [writer],
    capacityRange: { requiredBytes: gib },
  };
  return { ceph, controller, identity: unaryClient(channel, Identity), request };
}

test('a driver says who it is and only what it can', async () => {
  const { identity, controller } = await bench();
  expect(await identity.getPluginInfo({}, options)).toMatchObject({ name: 'd.example.com' });
  expect((await identity.probe({}, options)).ready).toBe(true);
  expect(await codeOf(controller.createSnapshot({ name: 's', sourceVolumeId: unknownId }, options))).toBe(
    'UNIMPLEMENTED',
  );
  expect(await codeOf(controller.listVolumes({}, options))).toBe('UNIMPLEMENTED');
});

test('CreateVolume is the same volume the second time, and refuses what differs or cannot be', async () => {
  const { controller, request } = await bench();
  const first = await controller.createVolume(request, options);
  expect(first.volume?.capacityBytes).toBe(gib);
  expect(await controller.createVolume(request, options)).toEqual(first);
  const code = (change: object) => codeOf(controller.createVolume({ ...request, ...change }, options));
  expect(await code({ capacityRange: { requiredBytes: 2n * gib } })).toBe('ALREADY_EXISTS');
  expect(await code({ name: '' })).toBe('INVALID_ARGUMENT');
  expect(await code({ volumeCapabilities: [] })).toBe('INVALID_ARGUMENT');
  expect(await code({ name: 'x'.repeat(128) })).toBe('OK');
  expect(await code({ name: 'v2', capacityRange: { requiredBytes: gib, limitBytes: 1n } })).toBe(
    'OUT_OF_RANGE',
  );
  expect(await code({ name: 'v3', capacityRange: undefined })).toBe('OK');
  expect(await code({ name: 'v4', secrets: {} })).toBe('INVALID_ARGUMENT');
  expect(await code({ name: 'v5', parameters: { ...parameters, pool: 'none' } })).toBe('FAILED_PRECONDITION');
  const shared = { ...writer, accessMode: { mode: Mode.MULTI_NODE_MULTI_WRITER } };
  expect(await code({ name: 'v6', volumeCapabilities: [shared] })).toBe('INVALID_ARGUMENT');
});

test('clean-up calls for what never was are fine; everything else is not found', async () => {
  const { controller } = await bench();
  for (const volumeId of [unknownId, 'reallyfakevolumeid']) {
    expect(await codeOf(controller.deleteVolume({ volumeId, secrets }, options))).toBe('OK');
    expect(
      await codeOf(controller.controllerUnpublishVolume({ volumeId, nodeId: 'a', secrets }, options)),
    ).toBe('OK');
    const about = { volumeId, secrets, volumeCapabilities: [writer] };
    expect(await codeOf(controller.validateVolumeCapabilities(about, options))).toBe('NOT_FOUND');
    const publish = { volumeId, nodeId: 'a', secrets, volumeCapability: writer };
    expect(await codeOf(controller.controllerPublishVolume(publish, options))).toBe('NOT_FOUND');
    const expand = { volumeId, secrets, capacityRange: { requiredBytes: gib } };
    expect(await codeOf(controller.controllerExpandVolume(expand, options))).toBe('NOT_FOUND');
  }
  expect(await codeOf(controller.deleteVolume({ secrets }, options))).toBe('INVALID_ARGUMENT');
});

test('a volume that is attached or open is not deleted, and never shrinks', async () => {
  const { ceph, controller, request } = await bench();
  const { volume } = await controller.createVolume(request, options);
  const volumeId = volume?.volumeId ?? '';
  const publish = (nodeId: string) =>
    codeOf(
      controller.controllerPublishVolume({ volumeId, nodeId, secrets, volumeCapability: writer }, options),
    );
  expect(await publish('absent')).toBe('NOT_FOUND');
  expect(await publish('')).toBe('INVALID_ARGUMENT');
  expect(await publish('a')).toBe('OK');
  expect(await publish('a')).toBe('OK');
  expect(await publish('b')).toBe('FAILED_PRECONDITION');
  expect(await codeOf(controller.deleteVolume({ volumeId, secrets }, options))).toBe('FAILED_PRECONDITION');
  await controller.controllerUnpublishVolume({ volumeId, nodeId: 'b', secrets }, options); // Not its holder.
  expect(await publish('b')).toBe('FAILED_PRECONDITION');
  {
    using _open = ceph.watch({ pool: 'rbd' }, volume?.volumeContext['imageName'] ?? '');
    const unpublish = controller.controllerUnpublishVolume({ volumeId, nodeId: 'a', secrets }, options);
    await expect(unpublish).rejects.toThrow('still open on node a');
  }
  await controller.controllerUnpublishVolume({ volumeId, nodeId: 'a', secrets }, options);
  {
    using _watcher = ceph.watch({ pool: 'rbd' }, volume?.volumeContext['imageName'] ?? '');
    expect(await codeOf(controller.deleteVolume({ volumeId, secrets }, options))).toBe('FAILED_PRECONDITION');
  }
  const smaller = { volumeId, secrets, capacityRange: { requiredBytes: gib / 2n } };
  expect((await controller.controllerExpandVolume(smaller, options)).capacityBytes).toBe(gib);
  expect(await codeOf(controller.deleteVolume({ volumeId, secrets }, options))).toBe('OK');
});

test('an image made by hand is attached by what its PV says, to one node, and is never deleted', async () => {
  const { ceph, controller } = await bench();
  const place = { pool: 'rbd' };
  await ceph.rbd.create(place, 'by-hand', { sizeBytes: gib, features: ['layering'] }, options);
  const volumeId = 'pets-database';
  const volumeContext = { staticVolume: 'true', clusterID: 'rook-ceph', pool: 'rbd', imageName: 'by-hand' };
  const publish = (nodeId: string, change: object = {}) =>
    controller.controllerPublishVolume(
      { volumeId, nodeId, secrets, volumeCapability: writer, volumeContext: { ...volumeContext, ...change } },
      options,
    );
  const unpublish = (nodeId: string) =>
    codeOf(controller.controllerUnpublishVolume({ volumeId, nodeId, secrets }, options));
  const notes = () => ceph.objects.omapList(place, 'holdfast.static', options);

  await expect(publish('a', { staticVolume: 'false' })).rejects.toThrow('staticVolume: "true"');
  await expect(publish('a', { pool: '' })).rejects.toThrow('need "pool"');
  await expect(publish('a', { encrypted: 'true' })).rejects.toThrow('encrypted volumes are not supported');
  expect(await codeOf(publish('a', { pool: 'none' }))).toBe('NOT_FOUND');
  expect(await codeOf(publish('a', { imageName: 'none' }))).toBe('NOT_FOUND');
  expect(await codeOf(publish('absent'))).toBe('NOT_FOUND');
  expect(await codeOf(publish('a'))).toBe('OK');
  expect(await codeOf(publish('a'))).toBe('OK');
  const header = `rbd_header.${(await ceph.rbd.info(place, 'by-hand', options))?.id}`;
  expect(await ceph.objects.lockHolders(place, header, 'holdfast.node', options)).toMatchObject([
    { cookie: 'node:a boot:boot-of-a' },
  ]);
  await expect(publish('b')).rejects.toThrow('attached to node a');
  // Unpublish is told the id alone. The loser's takes nothing from the holder.
  expect(await unpublish('b')).toBe('OK');
  await expect(publish('b')).rejects.toThrow('attached to node a');
  {
    using _open = ceph.watch(place, 'by-hand');
    expect(await unpublish('a')).toBe('FAILED_PRECONDITION');
  }
  expect(await unpublish('a')).toBe('OK');
  expect((await notes()).size).toBe(0);
  expect(await codeOf(publish('b'))).toBe('OK');
  const about = { volumeId, secrets, volumeCapabilities: [writer], volumeContext };
  expect((await controller.validateVolumeCapabilities(about, options)).confirmed).toBeDefined();
  expect(await unpublish('')).toBe('OK');
  expect(await codeOf(controller.deleteVolume({ volumeId, secrets }, options))).toBe('OK');
  expect(await ceph.rbd.info(place, 'by-hand', options)).toBeDefined();

  // Without a name of its own the image is the handle, as ceph-csi has it; one removed while attached lets go.
  await ceph.rbd.create(place, volumeId, { sizeBytes: gib, features: [] }, options);
  expect(await codeOf(publish('a', { imageName: '' }))).toBe('OK');
  await ceph.rbd.remove(place, volumeId, options);
  expect(await unpublish('a')).toBe('OK');
  expect((await notes()).size).toBe(0);
});

test('with no mon in reach a call ends with a code that asks for another try', async () => {
  const { ceph, controller, request } = await bench();
  ceph.reachable = false;
  expect(await codeOf(controller.createVolume(request, options))).toBe('UNAVAILABLE');
  // Not found in what could not be read is no answer: the lock would stay for ever.
  const unpublish = { volumeId: 'pets-database', nodeId: 'a', secrets };
  expect(await codeOf(controller.controllerUnpublishVolume(unpublish, options))).toBe('UNAVAILABLE');
});

test.each([
  [{ pool: '' }, '"pool" is missing'],
  [{ unknown: 'x' }, '"unknown" is not known'],
  [{ encrypted: 'true' }, '"encrypted" is "true", but encrypted volumes are not supported yet'],
  [{ encrypted: 'maybe' }, '"true" or "false"'],
  [{ topologyConstrainedPools: '[]' }, 'not supported yet'],
  [{ mapOptions: 'krbd:rxbounce' }, '"mapOptions" is not supported yet'],
  [{ imageFeatures: 'layering,fast-diff' }, 'needs object-map'],
  [{ imageFeatures: 'magic' }, 'known are layering'],
  [{ stripeUnit: '4096' }, '"stripeCount" is missing'],
  [{ objectSize: '5000' }, 'power of two'],
  [{ mounter: 'fuse' }, '"mounter"'],
  [{ mounter: 'constructor' }, '"mounter"'],
  [{ mounter: 'krbd', imageFeatures: 'exclusive-lock,journaling' }, 'knows no journaling'],
  [{ tryOtherMounters: 'maybe' }, '"true" or "false"'],
  [{ mkfsOptions: '-E stride=4' }, '"mkfsOptions" is not supported yet'],
  [{ dataPool: '' }, '"dataPool" is empty'],
])('parameters %j are refused by name', (change, text) => {
  expect(() => parseRbdParameters({ ...parameters, ...change })).toThrow(text);
});

test('what Rook writes into its own classes is taken', () => {
  const class1 = {
    ...parameters,
    imageFormat: '2',
    imageFeatures: 'layering',
    'csi.storage.k8s.io/fstype': 'ext4',
  };
  expect(parseRbdParameters(class1)).toMatchObject({
    features: ['layering'],
    namePrefix: 'csi-vol-',
  });
  expect(parseRbdParameters(parameters).features).toContain('exclusive-lock');
});

test('what a class of ceph-csi sets and nothing here acts on is taken, and said', () => {
  const class2 = {
    snapshotNamePrefix: 'snap-',
    cephLogDir: '/var/log/ceph',
    encrypted: 'false',
    encryptionKMSID: '',
  };
  expect(() => parseRbdParameters({ ...parameters, ...class2 })).not.toThrow();
  expect(parametersWithoutEffect(class2)).toEqual([
    '"snapshotNamePrefix" has no effect: there are no snapshots yet',
    '"cephLogDir" has no effect: the node keeps no log of an attached image',
  ]);
  expect(parametersWithoutEffect(parameters)).toEqual([]);
  const journaled = { mounter: 'krbd', tryOtherMounters: 'true', imageFeatures: 'exclusive-lock,journaling' };
  expect(() => parseRbdParameters({ ...parameters, ...journaled })).not.toThrow();
});

test('a cluster list is read leniently, and refused with its place where it is none', () => {
  const good = '[{"clusterID":"a","monitors":["1:2"],"rbd":{"radosNamespace":"n"},"newer":1}]';
  expect(parseClusterConfig(good, 'f')).toEqual([
    { clusterId: 'a', monitors: ['1:2'], namespace: undefined, radosNamespace: 'n' },
  ]);
  expect(parseClusterConfig('', 'f')).toEqual([]);
  expect(() => parseClusterConfig('{', 'f')).toThrow('no JSON');
  expect(() => parseClusterConfig('[{"clusterID":"a"}]', 'f')).toThrow('0.monitors');
});

import { create } from '@bufbuild/protobuf';
import { expect, onTestFinished, test } from 'vitest';
import { z } from 'zod';
import { fakeCeph, type FakeCeph } from '../../src/ceph/fake/fake-ceph.ts';
import { openClusters } from '../../src/csi/clusters.ts';
import { controllerService } from '../../src/csi/controller.ts';
import { trashBin } from '../../src/csi/rbd/trash-bin.ts';
import { staticImages } from '../../src/csi/rbd/static-images.ts';
import { rbdVolumes } from '../../src/csi/rbd/volumes.ts';
import {
  ControllerPublishVolumeRequestSchema,
  CreateVolumeRequestSchema,
  DeleteVolumeRequestSchema,
  VolumeCapability_AccessMode_Mode as Mode,
} from '../../src/gen/csi/v1/csi_pb.js';
import { systemClock } from '../../src/lib/clock.ts';
import { Code, isRpcError } from '../../src/lib/grpc.ts';
import { silentLogger } from '../../src/lib/log.ts';

// Kills the driver at every single call to Ceph, before and after the call's effect, and looks at the cluster.

const { signal } = new AbortController();
const options = { signal };
const place = { pool: 'rbd' };
const secrets = { userID: 'csi', userKey: 'k' };
const entry = { clusterId: 'rook-ceph', monitors: ['10.0.0.1:3300'] };
const capability = {
  accessType: { case: 'mount' as const, value: { fsType: 'ext4' } },
  accessMode: { mode: Mode.SINGLE_NODE_WRITER },
};
const createRequest = create(CreateVolumeRequestSchema, {
  name: 'pvc-1',
  capacityRange: { requiredBytes: 8n * 1024n * 1024n, limitBytes: 0n },
  volumeCapabilities: [capability],
  parameters: { clusterID: 'rook-ceph', pool: 'rbd', 'csi.storage.k8s.io/pvc/namespace': 'team-a' },
  secrets,
});

async function clusterWithPool(): Promise<FakeCeph> {
  const ceph = fakeCeph();
  await ceph.mon({ prefix: 'osd pool create', pool: 'rbd', pg_num: 8 }, z.unknown(), options);
  return ceph;
}

/** A driver process, past its first look into the trash; what it held in memory dies with it. */
async function driver(ceph: FakeCeph) {
  const config = { all: async () => [entry], cluster: async () => entry };
  const clusters = openClusters(config, ceph.open);
  const life = new AbortController();
  onTestFinished(() => life.abort());
  const trash = trashBin({ clock: systemClock, log: silentLogger, signal: life.signal });
  trash.emptyOnce(ceph, place); // Now, so that the steps below come in one order only.
  await trash.idle();
  const { createVolume, deleteVolume, controllerPublishVolume, controllerUnpublishVolume } =
    controllerService({
      volumes: rbdVolumes(clusters, trash),
      images: staticImages(clusters),
      now: () => 0,
    });
  if (!createVolume || !deleteVolume || !controllerPublishVolume || !controllerUnpublishVolume)
    throw new Error('a method is missing');
  return { trash, createVolume, deleteVolume, controllerPublishVolume, controllerUnpublishVolume };
}

/** Every object of the CSI journal and every image: what may not be left over. */
async function leftovers(ceph: FakeCeph) {
  const directory = await ceph.objects.omapList(place, 'csi.volumes.default', options);
  const objects = [...(ceph.pools.get('rbd')?.namespaces.get('')?.objects.keys() ?? [])].filter((name) =>
    name.startsWith('csi.volume.'),
  );
  return {
    directory: [...directory.keys()],
    objects,
    images: (await ceph.rbd.list(place, options)).map(({ name }) => name),
    trash: (await ceph.rbd.trashList(place, options)).map(({ name }) => name),
  };
}
const nothing = { directory: [], objects: [], images: [], trash: [] };

async function callsOf(body: () => Promise<unknown>, ceph: FakeCeph): Promise<number> {
  const before = ceph.sent.length;
  await body();
  return ceph.sent.length - before;
}

test('CreateVolume killed at any step goes on at the next call with one image, and is taken away whole', async () => {
  const probe = await clusterWithPool();
  const prober = await driver(probe);
  const steps = await callsOf(() => prober.createVolume(createRequest, options), probe);
  expect(steps).toBeGreaterThanOrEqual(6);
  for (const when of ['before', 'after'] as const) {
    for (let step = 1; step <= steps; step++) {
      const ceph = await clusterWithPool();
      const dying = await driver(ceph);
      ceph.killAt(step, when);
      await dying.createVolume(createRequest, options).catch(() => undefined);
      expect(ceph.killed, `step ${step}`).toBe(true);
      ceph.revive();

      const again = await driver(ceph);
      const { volume } = await again.createVolume(createRequest, options);
      const left = await leftovers(ceph);
      expect(left, `killed ${when} step ${step}`).toMatchObject({
        directory: ['csi.volume.pvc-1'],
        trash: [],
      });
      expect(left.objects).toHaveLength(1);
      expect(left.images).toEqual([volume?.volumeContext?.['imageName']]);

      await again.deleteVolume(
        create(DeleteVolumeRequestSchema, { volumeId: volume?.volumeId ?? '', secrets }),
        options,
      );
      await again.trash.idle();
      expect(await leftovers(ceph), `deleted after being killed ${when} step ${step}`).toEqual(nothing);
    }
  }
});

test('DeleteVolume killed at any step, answered or not, leaves nothing once it was asked again', async () => {
  const prepare = async () => {
    const ceph = await clusterWithPool();
    const { volume } = await (await driver(ceph)).createVolume(createRequest, options);
    return {
      ceph,
      request: create(DeleteVolumeRequestSchema, { volumeId: volume?.volumeId ?? '', secrets }),
    };
  };
  const probe = await prepare();
  const running = await driver(probe.ceph);
  const steps = await callsOf(async () => {
    await running.deleteVolume(probe.request, options);
    await running.trash.idle();
  }, probe.ceph);
  for (const when of ['before', 'after'] as const) {
    for (let step = 1; step <= steps; step++) {
      const { ceph, request } = await prepare();
      const dying = await driver(ceph);
      ceph.killAt(step, when);
      await dying.deleteVolume(request, options).catch(() => undefined);
      await dying.trash.idle();
      expect(ceph.killed, `step ${step}`).toBe(true);
      ceph.revive();

      const again = await driver(ceph);
      await again.deleteVolume(request, options);
      await again.trash.idle();
      expect(await leftovers(ceph), `killed ${when} step ${step}`).toEqual(nothing);
    }
  }
});

test('of fifty raced attaches of one image under two nodes, one wins each time', async () => {
  const ceph = await clusterWithPool();
  const { volume } = await (await driver(ceph)).createVolume(createRequest, options);
  const volumeId = volume?.volumeId ?? '';
  const winners = new Set<string>();
  for (let race = 0; race < 50; race++) {
    // Two driver processes, as after a lost leadership: no lock in memory stands between them.
    const attach = async (nodeId: string) =>
      await (
        await driver(ceph)
      ).controllerPublishVolume(
        create(ControllerPublishVolumeRequestSchema, {
          volumeId,
          nodeId,
          volumeCapability: capability,
          secrets,
        }),
        options,
      );
    const nodes = race % 2 === 0 ? ['a', 'b'] : ['b', 'a'];
    const results = await Promise.allSettled(nodes.map(attach));
    const won = nodes.filter((_, index) => results[index]?.status === 'fulfilled');
    expect(won).toHaveLength(1);
    for (const result of results)
      if (result.status === 'rejected') {
        expect(isRpcError(result.reason, Code.FAILED_PRECONDITION)).toBe(true);
        expect(String(result.reason)).toContain(`node ${won[0]}`);
      }
    await attach(won[0] ?? ''); // Asked again for the same node: fine.
    winners.add(won[0] ?? '');
    await (
      await driver(ceph)
    ).controllerUnpublishVolume(
      { $typeName: 'csi.v1.ControllerUnpublishVolumeRequest', volumeId, nodeId: won[0] ?? '', secrets },
      options,
    );
  }
  expect([...winners].sort()).toEqual(['a', 'b']);
});

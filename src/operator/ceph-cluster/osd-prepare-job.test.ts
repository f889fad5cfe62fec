import { describe, expect, test } from 'vitest';
import type { CephVersion } from '../../ceph/versions.ts';
import { dropHandedOutKeys, prepareJob } from './osd-prepare-job.ts';
import type { ClusterWork } from './work.ts';

const cephImage = 'quay.io/ceph/ceph:v16.2.15';
const inside = (patch: number): CephVersion => ({ major: 16, minor: 2, patch, release: 'pacific' });

function podOf(image: string, own: CephVersion | undefined) {
  const work = {
    cluster: {
      apiVersion: 'ceph.rook.io/v1',
      kind: 'CephCluster',
      metadata: { name: 'c', namespace: 'rook-ceph' },
      spec: { cephVersion: { image }, dataDirHostPath: '/var/lib/rook' },
    },
    namespace: 'rook-ceph',
    images: {
      holdfast: 'holdfast:latest',
      ceph: cephImage,
      ...(own && { own: { name: 'holdfast:0123', ceph: own } }),
    },
  } as unknown as ClusterWork;
  const node = { hostname: 'node1', usable: true, selection: { useAllDevices: true, devices: [] } };
  return prepareJob(work, node, 'run').spec?.template.spec;
}

describe('the prepare job', () => {
  test('runs in the operator’s own image where the Ceph in it is the cluster’s', () => {
    const pod = podOf(cephImage, inside(15));
    expect(pod?.initContainers).toBeUndefined();
    expect(pod?.containers[0]).toMatchObject({ image: 'holdfast:0123' });
    expect(pod?.containers[0]?.command).toBeUndefined();
    expect(pod?.volumes?.map((volume) => volume.name)).not.toContain('holdfast');
  });

  test.each([
    ['another patch release', cephImage, inside(14)],
    ['no Ceph in it', cephImage, undefined],
    ['an image whose tag is no version', 'quay.io/ceph/ceph:nightly', inside(15)],
  ])('carries Holdfast’s program into Ceph’s image: %s', (_, image, own) => {
    const pod = podOf(image, own);
    expect(pod?.initContainers?.[0]).toMatchObject({ name: 'copy-bins', image: 'holdfast:latest' });
    expect(pod?.containers[0]).toMatchObject({
      image,
      command: ['/holdfast/node', '/holdfast/holdfast.mjs'],
    });
  });
});

test('handed-out keys are removed once, not on each look', async () => {
  const removed: string[] = [];
  const there = new Set(['rook-ceph-osd-prepare-node1-config']);
  const work = {
    namespace: 'rook-ceph',
    signal: new AbortController().signal,
    objects: {
      get: (_: unknown, { name }: { name: string }) => Promise.resolve(there.has(name) ? {} : undefined),
      remove: (_: unknown, { name }: { name: string }) =>
        Promise.resolve((removed.push(name), there.delete(name))),
    },
  } as unknown as ClusterWork;
  await dropHandedOutKeys(work, 'node1');
  await dropHandedOutKeys(work, 'node1');
  expect(removed).toEqual(['rook-ceph-osd-prepare-node1-config']);
});

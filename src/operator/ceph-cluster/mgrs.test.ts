import { expect, test } from 'vitest';
import { mgrDeployment } from './mgrs.ts';
import type { ClusterWork } from './work.ts';

test('a mgr is not waited for when it is stopped: before it reached the mons it ignores the signal', () => {
  const work = {
    cluster: {
      apiVersion: 'ceph.rook.io/v1',
      kind: 'CephCluster',
      metadata: { name: 'c', namespace: 'rook-ceph' },
      spec: { cephVersion: { image: 'quay.io/ceph/ceph:v16.2.15' }, dataDirHostPath: '/var/lib/rook' },
    },
    namespace: 'rook-ceph',
    images: { holdfast: 'holdfast:latest', ceph: 'quay.io/ceph/ceph:v16.2.15' },
  } as unknown as ClusterWork;
  const pod = mgrDeployment(work, 'a', 'fsid').spec?.template.spec;
  expect(pod?.terminationGracePeriodSeconds).toBeLessThanOrEqual(5);
});

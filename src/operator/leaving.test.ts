import { afterEach, expect, test } from 'vitest';
import { ConfigMaps, Secrets } from '../api/core.ts';
import type { Resource } from '../api/resource.ts';
import { isReady, type OperatorBench, startOperatorBench } from '../../test/support/operator-bench.ts';
import { namespace } from '../../test/support/operator-node-double.ts';

let bench: OperatorBench;
afterEach(async () => await bench.close());

const signal = new AbortController().signal;

test.each<[string, Resource]>([
  ['rook-ceph-mon', Secrets],
  ['rook-ceph-mon-endpoints', ConfigMaps],
  ['rook-ceph-osd-node-a-status', ConfigMaps],
])('a cluster waits for what an earlier cluster of its name left: %s', async (name, resource) => {
  bench = await startOperatorBench();
  const owner = { apiVersion: 'ceph.rook.io/v1', kind: 'CephCluster', name: 'rook-ceph', uid: 'of-before' };
  const left = { metadata: { name, namespace, ownerReferences: [owner] } };
  await bench.client.create(resource, left, { signal });
  bench.start();
  await bench.createCluster();
  const waiting = await bench.cluster((one) => (one.status?.waitingFor?.length ?? 0) > 0);
  expect(waiting.status?.waitingFor).toMatchObject([
    {
      reason: 'FormerObjectsLeaving',
      message: `${resource.kind} ${name} of before is still being removed`,
    },
  ]);
  expect(await bench.get(resource, name)).toMatchObject(left); // It is the collector's to remove.

  await bench.client.delete(resource, { namespace, name }, { signal });
  await bench.cluster(isReady);
  const made = await bench.get(resource, name);
  expect(made?.metadata.ownerReferences?.map(({ uid }) => uid)).toEqual([waiting.metadata.uid]);
});

import { afterEach, expect, test } from 'vitest';
import { startOperatorBench, type OperatorBench } from '../../../test/support/operator-bench.ts';
import { CephClusters, type CephCluster } from '../../api/ceph/ceph-cluster.ts';
import { unwatched } from './unwatched.ts';

let bench: OperatorBench | undefined;
afterEach(async () => await bench?.close());

const isReady = (object: { status?: { phase?: string | undefined } | undefined }) =>
  object.status?.phase === 'Ready';

test('an operator that is stopped says that nobody watches; the next one looks again', async () => {
  bench = await startOperatorBench();
  bench.start();
  await bench.createCluster();
  await bench.cluster(isReady);
  await bench.kill();

  const left = await bench.get(CephClusters, 'rook-ceph');
  expect(left?.status).toMatchObject({
    phase: 'Connecting',
    message: expect.stringMatching(/^The operator was stopped at .*Z, and none has looked/) as string,
    waitingFor: [{ step: 'operator', reason: 'OperatorStopped' }],
  });
  expect(left?.status?.conditions?.find((one) => one.type === 'Ready')).toMatchObject({
    status: 'Unknown',
    reason: 'OperatorStopped',
  });

  bench.start();
  expect((await bench.cluster(isReady)).status?.waitingFor).toEqual([]);
});

test.each([
  ['nobody has looked at yet', {}, undefined],
  ['is being deleted', { deletionTimestamp: '2026-01-01T00:00:00Z' }, { phase: 'Deleting' }],
  ['is wrong', {}, { phase: 'Failure', message: 'spec.mon.count must be 1 to 9' }],
  [
    'is Rook’s',
    {},
    {
      phase: 'Ready',
      conditions: [{ type: 'RookOperatorActive', status: 'True', reason: 'x', message: 'y' }],
    },
  ],
])('the words about a cluster that %s stay', (_, metadata, status) => {
  const cluster = { metadata: { name: 'c', ...metadata }, spec: {}, status } as unknown as CephCluster;
  expect(unwatched(cluster, 0)).toEqual(status ?? {});
});

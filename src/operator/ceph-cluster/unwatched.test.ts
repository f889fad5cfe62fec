import { afterEach, expect, test } from 'vitest';
import { isReady, type OperatorBench, startOperatorBench } from '../../../test/support/operator-bench.ts';
import { CephClusters, type CephCluster } from '../../api/ceph/ceph-cluster.ts';
import { unwatched } from './unwatched.ts';

let bench: OperatorBench | undefined;
afterEach(async () => await bench?.close());

test('an operator that is stopped says that nobody watches; the next one looks again', async () => {
  bench = await startOperatorBench();
  bench.start();
  await bench.createCluster();
  await bench.cluster(isReady);
  await bench.stop();

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

test('a cluster that was ready when its operator was stopped is no bring-up for the next: a daemon may be down', async () => {
  bench = await startOperatorBench();
  bench.start();
  await bench.createCluster();
  await bench.cluster(isReady);
  await bench.stop();
  const osd = bench.ceph.osds.get(2);
  if (osd) osd.up = false;
  bench.start();
  expect((await bench.cluster(isReady)).status?.ceph?.health).toBe('HEALTH_WARN');
});

test.each([
  ['nobody has looked at yet', undefined],
  ['is being deleted', { phase: 'Deleting' }],
  ['is on its way', { phase: 'Progressing', message: '2 of 3 OSDs are up' }],
  ['is wrong', { phase: 'Failure', message: 'spec.mon.count must be 1 to 9' }],
  [
    'is Rook’s',
    {
      phase: 'Ready',
      conditions: [{ type: 'RookOperatorActive', status: 'True', reason: 'x', message: 'y' }],
    },
  ],
])('the words about a cluster that %s stay', (_, status) => {
  const cluster = { metadata: { name: 'c' }, spec: {}, status } as unknown as CephCluster;
  expect(unwatched(cluster, 0)).toEqual(status ?? {});
});

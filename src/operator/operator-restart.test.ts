import { afterEach, describe, expect, test } from 'vitest';
import { CephBlockPools, type CephBlockPool } from '../api/ceph/ceph-block-pool.ts';
import { CephClusters, type CephCluster } from '../api/ceph/ceph-cluster.ts';
import { Secrets } from '../api/core.ts';
import { cacheSet } from '../kube/cache-set.ts';
import { systemClock } from '../lib/clock.ts';
import { silentLogger } from '../lib/log.ts';
import {
  decoded,
  isReady,
  type OperatorBench,
  startOperatorBench,
} from '../../test/support/operator-bench.ts';
import { namespace } from '../../test/support/operator-node-double.ts';

let bench: OperatorBench;
afterEach(async () => await bench.close());

const signal = new AbortController().signal;

describe('an operator that is killed', () => {
  test.each([
    ['before the mons answer', 'rook-ceph-mon-a'],
    ['while disks are prepared', 'rook-ceph-osd-prepare-node-a'],
    ['while OSDs start', 'rook-ceph-osd-0'],
    ['while CSI starts', 'csi-rbdplugin-provisioner'],
  ])('%s is followed by one that goes on, and nothing is there twice', async (_, when) => {
    bench = await startOperatorBench();
    await bench.createCluster();
    bench.start();
    while (!bench.created.includes(when)) await new Promise((resolve) => setTimeout(resolve, 1));
    await bench.kill();
    const fsid = decoded((await bench.get(Secrets, 'rook-ceph-mon'))?.data?.['fsid']);

    bench.start();
    await bench.cluster(isReady);

    expect(decoded((await bench.get(Secrets, 'rook-ceph-mon'))?.data?.['fsid'])).toBe(fsid);
    expect(bench.created.length).toBe(new Set(bench.created).size);
    expect(bench.disks.map((disk) => disk.formats)).toEqual([1, 1, 1]);
    expect([...bench.ceph.osds.keys()].sort()).toEqual([0, 1, 2]);
  });
});

describe('an operator that is started anew', () => {
  /** Every phase that the cluster or the pool is in from now on, once each, in their order. */
  function phases(): { readonly seen: string[] } & Disposable {
    const seen: string[] = [];
    const caches = cacheSet({ client: bench.client, clock: systemClock, log: silentLogger });
    const note = (object: CephCluster | CephBlockPool) => {
      const phase = `${object.kind} ${object.status?.phase}`;
      if (!seen.includes(phase)) seen.push(phase);
    };
    caches.cache(CephClusters, { namespace }).onChange(({ object }) => note(object));
    caches.cache(CephBlockPools, { namespace }).onChange(({ object }) => note(object));
    return { seen, [Symbol.dispose]: () => void caches.close() };
  }
  const readyCluster = async (end: 'kill' | 'stop' = 'kill') => {
    bench = await startOperatorBench();
    bench.start();
    await bench.createCluster();
    await bench.createPool('replicapool', { failureDomain: 'osd', replicated: { size: 3 } });
    await bench.cluster(isReady);
    await bench.pool('replicapool', isReady);
    await bench[end]();
  };

  test('says of a cluster and its pools that they are Ready all the while', async () => {
    await readyCluster();
    using told = phases();
    bench.start();
    await bench.client.patch(
      CephBlockPools,
      { namespace, name: 'replicapool' },
      { type: 'merge', body: { spec: { quotas: { maxObjects: 7 } } } },
      { signal },
    );
    await bench.pool('replicapool', (pool) => pool.status?.observedGeneration === 2);
    expect(told.seen.toSorted()).toEqual(['CephBlockPool Ready', 'CephCluster Ready']);
  });

  test('after one that was stopped in good order says of pools that they are Ready all the while', async () => {
    await readyCluster('stop');
    using told = phases();
    bench.start();
    await bench.cluster(isReady);
    expect(told.seen.filter((one) => one.startsWith('CephBlockPool'))).toEqual(['CephBlockPool Ready']);
  });

  test('says it where the mons do not answer', async () => {
    await readyCluster();
    bench.ceph.reachable = false;
    bench.start();
    const cluster = await bench.cluster((one) => one.status?.phase === 'Connecting');
    expect(cluster.status?.waitingFor?.[0]?.reason).toBe('MonsUnreachable');
    await bench.pool('replicapool', (pool) => pool.status?.conditions?.[0]?.reason === 'ClusterNotReady');
    bench.ceph.reachable = true;
    await bench.pool('replicapool', isReady);
  });
});

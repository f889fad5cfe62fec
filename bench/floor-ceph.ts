import { performance } from 'node:perf_hooks';
import { mapLimit } from '../src/lib/map-limit.ts';
import { startCephCluster, type CephCluster } from '../test/support/ceph-cluster.ts';

/** What bare Ceph does on this machine today, without Kubernetes or an operator: what budgets are a ratio to. */
export interface CephFloors {
  /** Nothing -> 3 mons, a mgr, 3 OSDs, a pool, all PGs clean. */
  readonly bringUpMs: number;
  /** One rbd create, one in flight. */
  readonly createP50Ms: number;
  /** 250 rbd creates, 8 in flight. */
  readonly create250Ms: number;
}

const features = ['layering', 'exclusive-lock', 'object-map', 'fast-diff', 'deep-flatten'];
const sizeBytes = 1024n ** 3n;
const place = { pool: 'rbd' };

/** Measures the floors on a cluster of its own, which it takes down again. */
export async function cephFloors(signal: AbortSignal): Promise<CephFloors> {
  const cluster = await startCephCluster({ mons: 3, osds: 3 });
  try {
    return {
      bringUpMs: cluster.upMs,
      createP50Ms: await createP50(cluster, signal),
      create250Ms: await create250(cluster, signal),
    };
  } finally {
    await cluster.stop();
  }
}

async function createP50({ ceph }: CephCluster, signal: AbortSignal): Promise<number> {
  const times: number[] = [];
  for (let at = 0; at < 60; at++) {
    const startedMs = performance.now();
    await ceph.rbd.create(place, `one-${at}`, { sizeBytes, features }, { signal });
    times.push(performance.now() - startedMs);
  }
  times.splice(0, 10); // The first ones warm up the connection to each OSD.
  return times.sort((a, b) => a - b)[Math.floor(times.length / 2)] ?? Number.NaN;
}

async function create250({ ceph }: CephCluster, signal: AbortSignal): Promise<number> {
  const startedMs = performance.now();
  const names = Array.from({ length: 250 }, (_, at) => `many-${at}`);
  await mapLimit(names, 8, (name) => ceph.rbd.create(place, name, { sizeBytes, features }, { signal }));
  return performance.now() - startedMs;
}

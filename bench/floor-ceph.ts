import { performance } from 'node:perf_hooks';
import type { Ceph } from '../src/ceph/seam.ts';
import { mapLimit } from '../src/lib/map-limit.ts';
import { startCephCluster } from '../test/support/ceph-cluster.ts';
import { median } from './result.ts';

// What bare Ceph does on this machine today, without Kubernetes or an operator: what budgets are a ratio to.

const features = ['layering', 'exclusive-lock', 'object-map', 'fast-diff', 'deep-flatten'];
const sizeBytes = 1024n ** 3n;

/** Nothing -> 3 mons, a mgr, 3 OSDs, a pool, all PGs clean, in ms; on a cluster of its own, taken down again. */
export async function bareBringUpMs(signal: AbortSignal): Promise<number> {
  signal.throwIfAborted();
  const cluster = await startCephCluster({ mons: 3, osds: 3 });
  await cluster.stop();
  return cluster.upMs;
}

/** One bare rbd create, in ms. */
export async function bareCreateMs(
  ceph: Ceph,
  pool: string,
  image: string,
  signal: AbortSignal,
): Promise<number> {
  const startedMs = performance.now();
  await ceph.rbd.create({ pool }, image, { sizeBytes, features }, { signal });
  return performance.now() - startedMs;
}

/** `count` bare rbd creates, 8 in flight, in ms. */
export async function bareCreatesMs(
  ceph: Ceph,
  pool: string,
  count: number,
  signal: AbortSignal,
): Promise<number> {
  const startedMs = performance.now();
  const names = Array.from({ length: count }, (_, at) => `bench-many-${at}`);
  await mapLimit(names, 8, (name) => bareCreateMs(ceph, pool, name, signal));
  return performance.now() - startedMs;
}

/** Median of creates one at a time; the first ones, which warm up the connection to each OSD, do not count. */
export async function bareCreateP50Ms(
  ceph: Ceph,
  pool: string,
  count: number,
  signal: AbortSignal,
): Promise<number> {
  const times: number[] = [];
  for (let at = 0; at < count; at++) times.push(await bareCreateMs(ceph, pool, `bench-one-${at}`, signal));
  return median(times.slice(Math.floor(count / 6)));
}

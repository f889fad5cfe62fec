import { readFile } from 'node:fs/promises';
import { performance } from 'node:perf_hooks';
import { Deployments } from '../src/api/core.ts';
import { resource, type KubeObject } from '../src/api/resource.ts';
import { allPgsClean, readStatus } from '../src/ceph/mon.ts';
import { applyManifests, parseManifests } from '../src/kube/manifests.ts';
import { waitForObject } from '../src/kube/wait.ts';
import { openInstanceCeph, until, type BenchInstance } from './instance.ts';
import type { MeasureContext } from './measure.ts';

interface StorageObject extends KubeObject {
  status?: { phase?: string; message?: string; ceph?: { health?: string } };
}

const CephClusters = resource<StorageObject>('ceph.rook.io', 'v1', 'CephCluster', 'cephclusters');
const CephBlockPools = resource<StorageObject>('ceph.rook.io', 'v1', 'CephBlockPool', 'cephblockpools');
const limitMs = 180_000;

/** Applies one of the examples. */
export async function applyExample(
  { client }: BenchInstance,
  file: string,
  signal: AbortSignal,
): Promise<void> {
  const objects = parseManifests(await readFile(file, 'utf8'), file);
  await applyManifests(client, objects, { fieldManager: 'bench', signal });
}

/** The operator may still be starting; its start is not what is measured. */
export async function waitForOperator({ client }: BenchInstance, signal: AbortSignal): Promise<void> {
  const ref = { namespace: 'rook-ceph', name: 'rook-ceph-operator' };
  await waitForObject(client, Deployments, ref, (one) => (one?.status?.availableReplicas ?? 0) > 0, {
    signal,
    timeoutMs: limitMs,
  });
}

/** examples/ceph/cluster.yaml applied -> Ready, HEALTH_OK, the pool Ready, and all PGs clean by Ceph's own word; ms. */
export async function bringUpMs(
  { instance, signal, note }: MeasureContext,
  manifest: string,
): Promise<number> {
  const { client } = instance;
  await waitForOperator(instance, signal);
  const startedMs = performance.now();
  const said = say(startedMs, note);
  await applyExample(instance, manifest, signal);
  const wait = { signal, timeoutMs: limitMs };
  await Promise.all([
    waitForObject(
      client,
      CephClusters,
      { namespace: 'rook-ceph', name: 'rook-ceph' },
      (found) => {
        const { phase, message, ceph } = found?.status ?? {};
        said('cluster', [phase, ceph?.health, message].filter(Boolean).join(', '));
        return phase === 'Ready' && ceph?.health === 'HEALTH_OK';
      },
      wait,
    ),
    waitForObject(
      client,
      CephBlockPools,
      { namespace: 'rook-ceph', name: 'replicapool' },
      (found) => {
        said('pool', [found?.status?.phase, found?.status?.message].filter(Boolean).join(', '));
        return found?.status?.phase === 'Ready';
      },
      wait,
    ),
  ]);
  const toldMs = performance.now() - startedMs;
  // Status is believed only after Ceph said the same; the connection's own start does not count.
  const ceph = await openInstanceCeph(instance, signal);
  try {
    const askedMs = performance.now();
    let asked = 0;
    await until('all PGs clean', limitMs, signal, async () => {
      asked++;
      const status = await readStatus(ceph, signal);
      return status.health.status === 'HEALTH_OK' && status.pools > 0 && allPgsClean(status);
    });
    return toldMs + (asked > 1 ? performance.now() - askedMs : 0);
  } finally {
    await ceph.close();
  }
}

/** A line for each thing that changed, with the time since the start. */
export function say(startedMs: number, note: (text: string) => void) {
  const last = new Map<string, string>();
  return (what: string, text: string) => {
    if (last.get(what) === text) return;
    last.set(what, text);
    note(`+${((performance.now() - startedMs) / 1000).toFixed(2)} s ${what}: ${text}`);
  };
}

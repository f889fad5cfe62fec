import { randomBytes } from 'node:crypto';
import { CephBlockPools } from '../api/ceph/ceph-block-pool.ts';
import { CephClusters } from '../api/ceph/ceph-cluster.ts';
import { ConfigMaps, Deployments, Jobs, Nodes, Pods } from '../api/core.ts';
import type { ObjectRef } from '../api/resource.ts';
import type { CephOpener } from '../ceph/seam.ts';
import type { LeaderElectionOptions } from '../control/leader-election.ts';
import { createManager } from '../control/manager.ts';
import { triggeredBy, triggeredByOwned } from '../control/trigger.ts';
import type { KubeClient } from '../kube/client.ts';
import { createEventRecorder } from '../kube/events.ts';
import type { Clock } from '../lib/clock.ts';
import type { Logger } from '../lib/log.ts';
import type { Registry } from '../lib/metrics.ts';
import { blockPoolReconciler } from './block-pool/reconciler.ts';
import { cephLinks } from './ceph-cluster/link.ts';
import { placeOf } from './ceph-cluster/nodes.ts';
import { clusterReconciler } from './ceph-cluster/reconciler.ts';
import { operatorPods } from './ceph-cluster/rook-operator.ts';
import { unwatchedTask } from './ceph-cluster/unwatched.ts';
import { ensureCsi } from './csi/ensure.ts';
import { tellsFailures } from './failures.ts';
import { ownedObjects } from './objects.ts';
import type { OperatorImages } from './settings.ts';

export interface OperatorOptions {
  readonly client: KubeClient;
  /** The operator’s own namespace; the one whose resources it serves. */
  readonly namespace: string;
  readonly openCeph: CephOpener;
  readonly clock: Clock;
  readonly log: Logger;
  readonly signal: AbortSignal;
  readonly images: OperatorImages;
  /** Without it the operator works at once: for tests, and for one that runs outside the cluster. */
  readonly leaderElection?: LeaderElectionOptions;
  readonly registry?: Registry;
  readonly random?: (bytes: number) => Buffer;
}

/** Runs every controller of the operator until the signal aborts; rejects where leadership was lost. */
export async function runOperator(options: OperatorOptions): Promise<void> {
  const { client, namespace, clock, log, signal, images, random = randomBytes } = options;
  const manager = createManager({
    client,
    clock,
    log,
    ...(options.registry && { registry: options.registry }),
    ...(options.leaderElection && { leaderElection: options.leaderElection }),
  });
  const events = createEventRecorder({ client, component: 'rook-ceph-operator', clock, log, signal });
  const objects = ownedObjects(client, manager.caches);
  const enqueue = (name: string, ref: ObjectRef) =>
    manager.controllers.find((controller) => controller.name === name)?.enqueue(ref);
  const pools = manager.caches.cache(CephBlockPools, { namespace });
  const clusters = manager.caches.cache(CephClusters, { namespace });
  const all = (cache: {
    list(namespace?: string): readonly { metadata: { namespace?: string; name: string } }[];
  }) => cache.list(namespace).map((one) => ({ namespace: one.metadata.namespace, name: one.metadata.name }));
  const links = cephLinks({
    open: options.openCeph,
    clock,
    log,
    onConnected(cluster) {
      enqueue('ceph-cluster', cluster);
      for (const pool of all(pools)) enqueue('block-pool', pool); // They wait for nothing else.
    },
  });

  const shared = { kube: client, objects, links, operatorNamespace: namespace, events, clock };
  manager.add({
    reconciler: tellsFailures(clusterReconciler({ ...shared, images, random, ensureCsi }), {
      ...shared,
      resource: CephClusters,
    }),
    resource: CephClusters,
    namespace,
    triggers: [
      triggeredByOwned(Deployments, 'CephCluster', { namespace }),
      triggeredByOwned(Jobs, 'CephCluster', { namespace }),
      triggeredByOwned(ConfigMaps, 'CephCluster', { namespace }),
      triggeredBy(Nodes, () => all(clusters), { sees: placeOf }),
      // A Rook operator that goes hands over at once.
      triggeredBy(Pods, () => all(clusters), { namespace, labelSelector: operatorPods }),
      // A deleted cluster waits for its pools to go.
      triggeredBy(CephBlockPools, (pool) => (pool.metadata.deletionTimestamp ? all(clusters) : []), {
        namespace,
      }),
    ],
  });
  manager.add({
    reconciler: tellsFailures(blockPoolReconciler({ ...shared, ownImage: images.own?.name }), {
      ...shared,
      resource: CephBlockPools,
    }),
    resource: CephBlockPools,
    namespace,
    // A cluster that becomes ready, or gets another OSD, is what pools wait for.
    triggers: [triggeredBy(CephClusters, () => all(pools), { namespace })],
  });
  manager.addTask(unwatchedTask({ kube: client, clusters: () => clusters.list(namespace), clock, log }));
  try {
    await manager.run(signal);
  } finally {
    await links.close();
  }
}

import { CephBlockPools, type CephBlockPool, poolName } from '../../api/ceph/ceph-block-pool.ts';
import { CephClusters } from '../../api/ceph/ceph-cluster.ts';
import type { Stored } from '../../api/resource.ts';
import { deleteRule } from '../../ceph/crush.ts';
import { isCephError } from '../../ceph/errors.ts';
import { deletePool, imagesIn } from '../../ceph/pools.ts';
import type { Ceph } from '../../ceph/seam.ts';
import { done, requeueAfter, type Outcome } from '../../control/outcome.ts';
import type { ReconcileContext } from '../../control/reconciler.ts';
import { everConnected } from '../ceph-cluster/identity.ts';
import { tellDeletion, type DeletionWord } from '../tell-deletion.ts';
import type { BlockPoolDeps } from './pool.ts';
import { ruleNameOf, ruleSpecOf } from './rule.ts';

const maxNamed = 5;

/**
 * Removes the pool with its rule, but only once nothing is in it: images, and images that somebody put into
 * the trash, keep it. With no CephCluster left, or one that goes before it ever came up, there is nothing to
 * remove it from.
 */
export async function finalizePool(
  deps: BlockPoolDeps,
  pool: Stored<CephBlockPool>,
  context: ReconcileContext,
): Promise<Outcome> {
  const { signal, log } = context;
  const tell = (word: DeletionWord) => tellDeletion(deps, CephBlockPools, pool, word, signal);
  const namespace = pool.metadata.namespace ?? '';
  const ceph = deps.links.get(namespace);
  if (!ceph) {
    const clusters = await deps.objects.list(CephClusters, namespace, signal);
    if (clusters.length === 0) return done;
    const allGoing = clusters.every((one) => one.metadata.deletionTimestamp !== undefined);
    // The cluster waits for its pools; nobody else would end this wait.
    if (allGoing && !(await everConnected(deps.kube, namespace, signal))) return done;
    await tell({
      blocked: true,
      reason: 'ClusterNotReady',
      message: 'the Ceph cluster is not reached, so nobody can say what is in the pool',
    });
    return requeueAfter(2_000);
  }
  const name = poolName(pool);
  const blocked = await imagesLeft(ceph, name, signal);
  if (blocked !== undefined) {
    await tell({ blocked: true, reason: 'PoolNotEmpty', message: blocked });
    return requeueAfter(2_000); // Ceph tells nobody that an image went.
  }
  await tell({
    blocked: false,
    reason: 'ObjectHasNoDependents',
    message: 'The pool is empty and is being removed',
  });
  log.info({ pool: name }, 'deleting pool');
  await deletePool(ceph, name, signal);
  await removeRule(ceph, name, pool, signal);
  return done;
}

async function imagesLeft(ceph: Ceph, name: string, signal: AbortSignal): Promise<string | undefined> {
  if ((await ceph.poolId(name, { signal })) === undefined) return undefined;
  const { images, trash } = await imagesIn(ceph, name, signal);
  if (images.length + trash.length === 0) return undefined;
  if (images.length === 0)
    return `the pool holds ${count(trash.length)} in the trash; restore what is wanted, and remove the others with \`rbd trash purge ${name}\``;
  const named = images.slice(0, maxNamed).join(', ') + (images.length > maxNamed ? ', ...' : '');
  const besides = trash.length > 0 ? ` and ${trash.length} in the trash` : '';
  return `the pool holds ${count(images.length)} (${named})${besides}; delete the PersistentVolumeClaims that use them first`;
}

const count = (images: number) => `${images} image${images === 1 ? '' : 's'}`;

/** The rule was the pool’s own; another pool that was given it by hand keeps it. */
async function removeRule(
  ceph: Ceph,
  name: string,
  pool: Stored<CephBlockPool>,
  signal: AbortSignal,
): Promise<void> {
  try {
    await deleteRule(ceph, ruleNameOf(name, ruleSpecOf(pool.spec)), signal);
  } catch (error) {
    if (!isCephError(error, 'EBUSY')) throw error;
  }
}

import { CephBlockPools } from '../../api/ceph/ceph-block-pool.ts';
import { CephClusters } from '../../api/ceph/ceph-cluster.ts';
import { Deployments, Jobs, Pods } from '../../api/core.ts';
import { refOf } from '../../api/resource.ts';
import { done, requeueAfter, type Outcome } from '../../control/outcome.ts';
import { isControlledBy } from '../../kube/owner-reference.ts';
import { tellDeletion } from '../tell-deletion.ts';
import { monHostOf, recordedMons } from './endpoints.ts';
import { adminConnection, readIdentity } from './identity.ts';
import type { CephLinks } from './link.ts';
import type { ClusterWork } from './work.ts';

const maxNamed = 10;

/**
 * Lets a deleted cluster go: refused while pools live in it; then its daemons are stopped, and only once
 * their pods are gone is the finalizer lifted. What is on disks and in dataDirHostPath stays.
 */
export async function finalizeCluster(work: ClusterWork, links: CephLinks): Promise<Outcome> {
  const { objects, signal, namespace, cluster } = work;
  const pools = await objects.list(CephBlockPools, namespace, signal);
  if (pools.length > 0) {
    const names = pools
      .map((pool) => pool.metadata.name)
      .toSorted()
      .slice(0, maxNamed);
    const more = pools.length > maxNamed ? ` and ${pools.length - maxNamed} more` : '';
    await tell(work, true, `CephBlockPool ${names.join(', ')}${more} must be deleted first`);
    await reachForPools(work, links);
    return requeueAfter(5_000);
  }
  await tell(work, false, 'Nothing needs it any more; its daemons are being stopped');
  const [deployments, jobs] = await Promise.all([
    objects.list(Deployments, namespace, signal),
    objects.list(Jobs, namespace, signal),
  ]);
  const mine = deployments.filter((one) => isControlledBy(one, cluster));
  const myJobs = jobs.filter((one) => isControlledBy(one, cluster));
  await Promise.all([
    ...mine
      .filter((one) => !one.metadata.deletionTimestamp)
      .map((one) => objects.remove(Deployments, refOf(one), signal)),
    ...myJobs
      .filter((one) => !one.metadata.deletionTimestamp)
      .map((one) => objects.remove(Jobs, refOf(one), signal)),
  ]);
  const pods = await work.kube.list(
    Pods,
    { namespace, labelSelector: `rook_cluster=${namespace}` },
    { signal },
  );
  return mine.length + myJobs.length + pods.items.length > 0 ? requeueAfter(500) : done;
}

/** Only Ceph can say what is in the pools, and an operator that was started anew is not connected yet. */
async function reachForPools(work: ClusterWork, links: CephLinks): Promise<void> {
  const [identity, { mons }] = await Promise.all([readIdentity(work), recordedMons(work)]);
  if (identity && mons.length > 0)
    links.connected(refOf(work.cluster), adminConnection(identity, monHostOf(mons)));
}

async function tell(work: ClusterWork, blocked: boolean, message: string): Promise<void> {
  const reason = blocked ? 'ObjectHasDependents' : 'ObjectHasNoDependents';
  const word = { blocked, reason, message, also: { state: 'Deleting' } } as const;
  await tellDeletion(work, CephClusters, work.cluster, word, work.signal);
}

import type { Deployment, ReplicaSet } from 'kubernetes-types/apps/v1.js';
import type { Stored } from '../../api/resource.ts';
import { byAge } from './deployment-revision.ts';
import { scaledValue } from './pod-template.ts';

export interface RolloutLimits {
  readonly replicas: number;
  readonly maxSurge: number;
  readonly maxUnavailable: number;
}

/** How far a rollout may go above and below the Deployment's size. */
export function rolloutLimits(deployment: Deployment): RolloutLimits {
  const replicas = deployment.spec?.replicas ?? 1;
  if (deployment.spec?.strategy?.type === 'Recreate') {
    return { replicas, maxSurge: 0, maxUnavailable: replicas };
  }
  const rolling = deployment.spec?.strategy?.rollingUpdate;
  const maxSurge = scaledValue(rolling?.maxSurge, replicas, 'up', '25%');
  const unavailable = scaledValue(rolling?.maxUnavailable, replicas, 'down', '25%');
  // Both zero would never move: a percentage of few replicas rounds down to that.
  const maxUnavailable = maxSurge === 0 && unavailable === 0 ? 1 : Math.min(unavailable, replicas);
  return { replicas, maxSurge, maxUnavailable };
}

type Sizes = Map<string, number>;
const sizeOf = (replicaSet: ReplicaSet): number => replicaSet.spec?.replicas ?? 0;
const availableOf = (replicaSet: ReplicaSet): number => replicaSet.status?.availableReplicas ?? 0;
const totalOf = (replicaSets: readonly ReplicaSet[]): number =>
  replicaSets.reduce((sum, one) => sum + sizeOf(one), 0);

/** The size that the new ReplicaSet may have now. */
export function newReplicaSetSize(
  limits: RolloutLimits,
  newest: ReplicaSet,
  all: readonly ReplicaSet[],
): number {
  const { replicas, maxSurge } = limits;
  const size = sizeOf(newest);
  if (size >= replicas) return replicas;
  const room = replicas + maxSurge - totalOf(all);
  return size + Math.max(0, Math.min(room, replicas - size));
}

/**
 * The sizes of the old ReplicaSets for the next step: pods that are not available go first, for they
 * serve nobody; then available ones, oldest set first, as far as enough stay available.
 */
export function oldReplicaSetSizes(
  limits: RolloutLimits,
  newest: ReplicaSet,
  old: readonly Stored<ReplicaSet>[],
): Sizes {
  const sizes: Sizes = new Map(old.map((one) => [one.metadata.uid, sizeOf(one)]));
  const all = [...old, newest];
  const minAvailable = limits.replicas - limits.maxUnavailable;
  const newUnavailable = sizeOf(newest) - availableOf(newest);
  let spare = totalOf(all) - minAvailable - newUnavailable;
  const take = (one: Stored<ReplicaSet>, count: number) => {
    sizes.set(one.metadata.uid, (sizes.get(one.metadata.uid) ?? 0) - count);
  };
  for (const one of byAge(old)) {
    if (spare <= 0) return sizes;
    const unhealthy = Math.max(0, sizeOf(one) - availableOf(one));
    const count = Math.min(spare, unhealthy);
    take(one, count);
    spare -= count;
  }
  let surplus = all.reduce((sum, one) => sum + availableOf(one), 0) - minAvailable;
  for (const one of byAge(old)) {
    if (surplus <= 0) return sizes;
    const count = Math.min(surplus, sizes.get(one.metadata.uid) ?? 0);
    take(one, count);
    surplus -= count;
  }
  return sizes;
}

/**
 * Shares a new size among the ReplicaSets of an unfinished rollout in proportion to what they have, the
 * largest taking what rounding leaves.
 */
export function proportionalSizes(limits: RolloutLimits, replicaSets: readonly Stored<ReplicaSet>[]): Sizes {
  const active = replicaSets.filter((one) => sizeOf(one) > 0);
  const total = totalOf(active);
  const allowed = limits.replicas > 0 ? limits.replicas + limits.maxSurge : 0;
  const change = allowed - total;
  const largestFirst = byAge(active)
    .reverse()
    .sort((a, b) => sizeOf(b) - sizeOf(a));
  const sizes: Sizes = new Map();
  let left = change;
  for (const one of largestFirst) {
    const share = total === 0 ? 0 : Math.round((sizeOf(one) * change) / total);
    const bounded = change > 0 ? Math.min(share, left) : Math.max(share, left);
    sizes.set(one.metadata.uid, Math.max(0, sizeOf(one) + bounded));
    left -= bounded;
  }
  const [first] = largestFirst;
  if (first && left !== 0) {
    sizes.set(first.metadata.uid, Math.max(0, (sizes.get(first.metadata.uid) ?? 0) + left));
  }
  return sizes;
}

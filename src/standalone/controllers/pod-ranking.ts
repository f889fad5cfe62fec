import type { Pod } from 'kubernetes-types/core/v1.js';
import type { Stored } from '../../api/resource.ts';
import { parseTime } from '../../kube/micro-time.ts';
import { isReady, readySinceMs, restartsOf } from './pod-state.ts';

const phaseRank: Readonly<Record<string, number>> = { Pending: 0, Unknown: 1, Running: 2 };

/**
 * Pods in the order in which a smaller ReplicaSet gives them up: unscheduled, pending, not ready, cheap
 * (`controller.kubernetes.io/pod-deletion-cost`), crowded on one node, ready for a short time only, often
 * restarted, young. `related` are all active pods that count as crowding.
 */
export function byDeletionOrder(
  pods: readonly Stored<Pod>[],
  related: readonly Stored<Pod>[],
  random: () => number,
): Stored<Pod>[] {
  const uids = new Set(pods.map((pod) => pod.metadata.uid));
  const onNode = new Map<string, number>();
  for (const pod of related) {
    const node = pod.spec?.nodeName;
    if (node !== undefined && uids.has(pod.metadata.uid)) onNode.set(node, (onNode.get(node) ?? 0) + 1);
  }
  const rankOf = (pod: Stored<Pod>): readonly number[] => [
    pod.spec?.nodeName ? 1 : 0,
    phaseRank[pod.status?.phase ?? 'Pending'] ?? 0,
    isReady(pod) ? 1 : 0,
    deletionCost(pod),
    -(onNode.get(pod.spec?.nodeName ?? '') ?? 0),
    -(readySinceMs(pod) ?? 0),
    -restartsOf(pod),
    -(parseTime(pod.metadata.creationTimestamp) ?? 0),
    random(),
  ];
  return pods
    .map((pod) => ({ pod, rank: rankOf(pod) }))
    .sort((a, b) => compareRanks(a.rank, b.rank))
    .map(({ pod }) => pod);
}

function compareRanks(a: readonly number[], b: readonly number[]): number {
  for (const [index, value] of a.entries()) {
    const difference = value - (b[index] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}

function deletionCost(pod: Pod): number {
  const text = pod.metadata?.annotations?.['controller.kubernetes.io/pod-deletion-cost'];
  const cost = text !== undefined && /^-?\d+$/.test(text) ? Number(text) : 0;
  return Number.isSafeInteger(cost) ? cost : 0;
}

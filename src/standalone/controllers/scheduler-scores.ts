import type { Pod } from 'kubernetes-types/core/v1.js';
import { controllerOf } from '../../kube/owner-reference.ts';
import { termMatches } from './node-affinity.ts';
import { allocatable, podRequests, sumRequests } from './node-resources.ts';
import { termTakes, type NodeView } from './scheduler-filters.ts';
import { spreadPenalty } from './scheduler-topology.ts';
import { untoleratedTaint } from './tolerations.ts';

/**
 * How well a node suits, more is better. Wishes that the pod states weigh most, then that siblings are
 * spread over nodes, then that the node is the least loaded.
 */
export function scoreOf(pod: Pod, view: NodeView, views: readonly NodeView[]): number {
  return wishes(pod, view, views) * 1_000 - siblings(pod, view) * 100 + freeShare(pod, view) * 10;
}

function wishes(pod: Pod, view: NodeView, views: readonly NodeView[]): number {
  const affinity = pod.spec?.affinity;
  let score = 0;
  for (const one of affinity?.nodeAffinity?.preferredDuringSchedulingIgnoredDuringExecution ?? []) {
    if (termMatches(one.preference, view.node)) score += one.weight;
  }
  const together = affinity?.podAffinity?.preferredDuringSchedulingIgnoredDuringExecution ?? [];
  const apart = affinity?.podAntiAffinity?.preferredDuringSchedulingIgnoredDuringExecution ?? [];
  const signed = [
    ...together.map((one) => ({ term: one.podAffinityTerm, weight: one.weight })),
    ...apart.map((one) => ({ term: one.podAffinityTerm, weight: -one.weight })),
  ];
  for (const { term, weight } of signed) {
    const value = view.node.metadata.labels?.[term.topologyKey];
    if (value === undefined) continue;
    const near = views.filter((other) => other.node.metadata.labels?.[term.topologyKey] === value);
    score += weight * near.flatMap((one) => one.pods).filter((other) => termTakes(term, pod, other)).length;
  }
  if (untoleratedTaint(view.node.spec?.taints, pod.spec?.tolerations, ['PreferNoSchedule'])) score -= 100;
  return score - spreadPenalty(pod, view, views);
}

/** Pods of the same controller that are on the node. */
function siblings(pod: Pod, view: NodeView): number {
  const owner = controllerOf(pod)?.uid;
  if (owner === undefined) return 0;
  return view.pods.filter((other) => controllerOf(other)?.uid === owner).length;
}

/** 0 to 2: the share of CPU and of memory left with the pod there. */
function freeShare(pod: Pod, view: NodeView): number {
  const has = allocatable(view.node);
  const used = sumRequests([...view.pods, pod]);
  const share = (name: string) => {
    const total = Number(has.get(name) ?? 0n);
    return total === 0 ? 0 : Math.max(0, 1 - Number(used.get(name) ?? 0n) / total);
  };
  const none = podRequests(pod).size === 0;
  // Pods that ask for nothing would all go to one node: the number of pods counts for them.
  return share('cpu') + share('memory') - (none ? view.pods.length / 110 : 0);
}

import type { Pod, TopologySpreadConstraint } from 'kubernetes-types/core/v1.js';
import { selectorMatches } from '../../kube/selector.ts';
import { podWantsNode } from './node-affinity.ts';
import { isTerminating } from './pod-state.ts';
import type { NodeView } from './scheduler-filters.ts';
import { untoleratedTaint } from './tolerations.ts';

const reason = "node(s) didn't match pod topology spread constraints";
const missing = `${reason} (missing required label)`;

/** The nodes that the pod's spread constraints rule out (`DoNotSchedule`), with the reason. */
export function spreadReasons(pod: Pod, views: readonly NodeView[]): Map<string, string> {
  const reasons = new Map<string, string>();
  for (const constraint of pod.spec?.topologySpreadConstraints ?? []) {
    if (constraint.whenUnsatisfiable !== 'DoNotSchedule') continue;
    const { counts, least } = countDomains(pod, constraint, views);
    const own = matches(pod, constraint, pod) ? 1 : 0;
    for (const view of views) {
      const { name, labels } = view.node.metadata;
      const domain = labels?.[constraint.topologyKey];
      if (domain === undefined) reasons.set(name, missing);
      else if ((counts.get(domain) ?? 0) + own - least > constraint.maxSkew && !reasons.has(name)) {
        reasons.set(name, reason);
      }
    }
  }
  return reasons;
}

/** How many more than the emptiest domain the node's has, over the constraints that are only wishes. */
export function spreadPenalty(pod: Pod, view: NodeView, views: readonly NodeView[]): number {
  let penalty = 0;
  for (const constraint of pod.spec?.topologySpreadConstraints ?? []) {
    if (constraint.whenUnsatisfiable !== 'ScheduleAnyway') continue;
    const { counts, least } = countDomains(pod, constraint, views);
    const domain = view.node.metadata.labels?.[constraint.topologyKey];
    penalty += domain === undefined ? 100 : (counts.get(domain) ?? 0) - least;
  }
  return penalty;
}

/** Matching pods by domain, over the nodes that count: those the pod could be meant for. */
function countDomains(pod: Pod, constraint: TopologySpreadConstraint, views: readonly NodeView[]) {
  const counts = new Map<string, number>();
  for (const view of views) {
    const domain = view.node.metadata.labels?.[constraint.topologyKey];
    if (domain === undefined || !isCounted(pod, constraint, view)) continue;
    const here = view.pods.filter((other) => !isTerminating(other) && matches(pod, constraint, other)).length;
    counts.set(domain, (counts.get(domain) ?? 0) + here);
  }
  const tooFew = counts.size < (constraint.minDomains ?? 1);
  const least = tooFew || counts.size === 0 ? 0 : Math.min(...counts.values());
  return { counts, least };
}

function isCounted(pod: Pod, constraint: TopologySpreadConstraint, { node }: NodeView): boolean {
  const byAffinity = (constraint.nodeAffinityPolicy ?? 'Honor') === 'Honor';
  if (byAffinity && !podWantsNode(pod, node)) return false;
  const byTaints = (constraint.nodeTaintsPolicy ?? 'Ignore') === 'Honor';
  const effects = ['NoSchedule', 'NoExecute'];
  return !byTaints || untoleratedTaint(node.spec?.taints, pod.spec?.tolerations, effects) === undefined;
}

function matches(pod: Pod, constraint: TopologySpreadConstraint, other: Pod): boolean {
  if (other.metadata?.namespace !== pod.metadata?.namespace) return false;
  const { labels } = other.metadata ?? {};
  // Each of these keys asks for the same value as the pod's own, such as its template's hash.
  const sameKeys = (constraint.matchLabelKeys ?? []).every(
    (key) => pod.metadata?.labels?.[key] === undefined || labels?.[key] === pod.metadata.labels[key],
  );
  return sameKeys && selectorMatches(constraint.labelSelector, labels);
}

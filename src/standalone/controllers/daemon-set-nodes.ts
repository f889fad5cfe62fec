import type { DaemonSet } from 'kubernetes-types/apps/v1.js';
import type { Node, NodeAffinity, Pod, Toleration } from 'kubernetes-types/core/v1.js';
import { podWantsNode } from './node-affinity.ts';
import { untoleratedTaint } from './tolerations.ts';

const exists = (key: string, effect: string): Toleration => ({ key, operator: 'Exists', effect });

/** What every daemon pod tolerates: the troubles in which a node needs its daemons most. */
export function daemonTolerations(pod: Pod): Toleration[] {
  const own = pod.spec?.tolerations ?? [];
  const wanted = [
    exists('node.kubernetes.io/not-ready', 'NoExecute'),
    exists('node.kubernetes.io/unreachable', 'NoExecute'),
    exists('node.kubernetes.io/disk-pressure', 'NoSchedule'),
    exists('node.kubernetes.io/memory-pressure', 'NoSchedule'),
    exists('node.kubernetes.io/pid-pressure', 'NoSchedule'),
    exists('node.kubernetes.io/unschedulable', 'NoSchedule'),
    ...(pod.spec?.hostNetwork ? [exists('node.kubernetes.io/network-unavailable', 'NoSchedule')] : []),
  ];
  const added = wanted.filter(
    (one) =>
      !own.some((mine) => mine.key === one.key && mine.operator === 'Exists' && mine.effect === one.effect),
  );
  return [...own, ...added];
}

export interface NodeVerdict {
  /** A pod of the set belongs there. */
  readonly shouldRun: boolean;
  /** One that is there may stay. */
  readonly mayStay: boolean;
}

export function daemonVerdict(daemonSet: DaemonSet, node: Node): NodeVerdict {
  const pod = { spec: daemonSet.spec?.template.spec } as Pod;
  const { nodeName } = pod.spec ?? {};
  if (nodeName && nodeName !== node.metadata?.name) return { shouldRun: false, mayStay: false };
  if (!podWantsNode(pod, node)) return { shouldRun: false, mayStay: false };
  const tolerations = daemonTolerations(pod);
  const taints = node.spec?.taints;
  return {
    shouldRun: untoleratedTaint(taints, tolerations, ['NoSchedule', 'NoExecute']) === undefined,
    mayStay: untoleratedTaint(taints, tolerations, ['NoExecute']) === undefined,
  };
}

/** The template's affinity with the one node in place of whatever nodes it asked for. */
export function pinnedTo(affinity: NonNullable<Pod['spec']>['affinity'], node: string) {
  const required: NodeAffinity['requiredDuringSchedulingIgnoredDuringExecution'] = {
    nodeSelectorTerms: [{ matchFields: [{ key: 'metadata.name', operator: 'In', values: [node] }] }],
  };
  return {
    ...affinity,
    nodeAffinity: { ...affinity?.nodeAffinity, requiredDuringSchedulingIgnoredDuringExecution: required },
  };
}

/** The node that a daemon pod is on or is pinned to. */
export function nodeOfDaemonPod(pod: Pod): string | undefined {
  if (pod.spec?.nodeName) return pod.spec.nodeName;
  const terms =
    pod.spec?.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution?.nodeSelectorTerms;
  return terms?.flatMap((term) => term.matchFields ?? []).find((one) => one.key === 'metadata.name')
    ?.values?.[0];
}

import type { Node, Pod, PodAffinityTerm } from 'kubernetes-types/core/v1.js';
import type { Stored } from '../../api/resource.ts';
import { selectorMatches } from '../../kube/selector.ts';
import { podWantsNode } from './node-affinity.ts';
import { allocatable, missingResources, podRequests, sumRequests } from './node-resources.ts';
import { untoleratedTaint } from './tolerations.ts';

/** A node with the pods that run or will run on it. */
export interface NodeView {
  readonly node: Stored<Node>;
  readonly pods: readonly Stored<Pod>[];
}

const unschedulableTaint = { key: 'node.kubernetes.io/unschedulable', effect: 'NoSchedule' };

/** Why the pod cannot go to this node, in Kubernetes' own words, or nothing where it can. */
export function reasonAgainst(pod: Pod, view: NodeView): string | undefined {
  const { node, pods } = view;
  const tolerations = pod.spec?.tolerations;
  if (node.spec?.unschedulable && untoleratedTaint([unschedulableTaint], tolerations, ['NoSchedule'])) {
    return 'node(s) were unschedulable';
  }
  const taint = untoleratedTaint(node.spec?.taints, tolerations, ['NoSchedule', 'NoExecute']);
  if (taint) return `node(s) had untolerated taint {${taint.key}: ${taint.value ?? ''}}`;
  if (!podWantsNode(pod, node)) return "node(s) didn't match Pod's node affinity/selector";
  if (portsClash(pod, pods)) return "node(s) didn't have free ports for the requested pod ports";
  const has = allocatable(node);
  const maxPods = has.get('pods');
  if (maxPods !== undefined && BigInt(pods.length + 1) * 1000n > maxPods) return 'Too many pods';
  const [missing] = missingResources(podRequests(pod), sumRequests(pods), has);
  return missing === undefined ? undefined : `Insufficient ${missing}`;
}

interface HostPort {
  readonly ip: string;
  readonly protocol: string;
  readonly port: number;
}

function hostPorts(pod: Pod): HostPort[] {
  const containers = [...(pod.spec?.containers ?? []), ...(pod.spec?.initContainers ?? [])];
  return containers.flatMap((container) =>
    (container.ports ?? []).flatMap((port) => {
      const number = port.hostPort ?? (pod.spec?.hostNetwork ? port.containerPort : 0);
      if (!number) return [];
      return [{ ip: port.hostIP || '0.0.0.0', protocol: port.protocol ?? 'TCP', port: number }];
    }),
  );
}

function portsClash(pod: Pod, others: readonly Pod[]): boolean {
  const wanted = hostPorts(pod);
  if (wanted.length === 0) return false;
  const taken = others.flatMap(hostPorts);
  const anyAddress = '0.0.0.0';
  return wanted.some((a) =>
    taken.some(
      (b) =>
        a.port === b.port &&
        a.protocol === b.protocol &&
        (a.ip === b.ip || a.ip === anyAddress || b.ip === anyAddress),
    ),
  );
}

/** Whether an affinity term of `pod` takes `other`. */
export function termTakes(term: PodAffinityTerm, pod: Pod, other: Pod): boolean {
  const namespaces = term.namespaces ?? [];
  const own = namespaces.length === 0 && term.namespaceSelector === undefined;
  const inNamespace = own
    ? other.metadata?.namespace === pod.metadata?.namespace
    : // An empty namespaceSelector is every namespace; one with labels is not looked up here.
      namespaces.includes(other.metadata?.namespace ?? '') ||
      (term.namespaceSelector !== undefined && Object.keys(term.namespaceSelector).length === 0);
  return inNamespace && selectorMatches(term.labelSelector, other.metadata?.labels);
}

const antiTerms = (pod: Pod): readonly PodAffinityTerm[] =>
  pod.spec?.affinity?.podAntiAffinity?.requiredDuringSchedulingIgnoredDuringExecution ?? [];

const topologyOf = (view: NodeView, key: string): string | undefined => view.node.metadata.labels?.[key];

/**
 * The nodes that the pods on all nodes rule out by required (anti-)affinity, with the reason. The pod's own
 * terms count, and so do those of the pods already placed.
 */
export function affinityReasons(pod: Pod, views: readonly NodeView[]): Map<string, string> {
  const reasons = new Map<string, string>();
  const forbid = (key: string, value: string | undefined, reason: string) => {
    if (value === undefined) return;
    for (const view of views) {
      const { name } = view.node.metadata;
      if (topologyOf(view, key) === value && !reasons.has(name)) reasons.set(name, reason);
    }
  };
  for (const view of views) {
    for (const other of view.pods) {
      for (const term of antiTerms(pod)) {
        if (!termTakes(term, pod, other)) continue;
        forbid(
          term.topologyKey,
          topologyOf(view, term.topologyKey),
          "node(s) didn't match pod anti-affinity rules",
        );
      }
      for (const term of antiTerms(other)) {
        if (!termTakes(term, other, pod)) continue;
        const value = topologyOf(view, term.topologyKey);
        forbid(term.topologyKey, value, "node(s) didn't satisfy existing pods anti-affinity rules");
      }
    }
  }
  const required = pod.spec?.affinity?.podAffinity?.requiredDuringSchedulingIgnoredDuringExecution ?? [];
  for (const term of required) {
    const present = views.filter((view) => view.pods.some((other) => termTakes(term, pod, other)));
    const values = new Set(present.map((view) => topologyOf(view, term.topologyKey)));
    // The first of a group that wants to be together may go anywhere that has the key.
    const first = present.length === 0 && termTakes(term, pod, pod);
    for (const view of views) {
      const value = topologyOf(view, term.topologyKey);
      const fits = value !== undefined && (first || values.has(value));
      if (!fits) reasons.set(view.node.metadata.name, "node(s) didn't match pod affinity rules");
    }
  }
  return reasons;
}

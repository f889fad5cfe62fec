import type { Node, NodeSelector, NodeSelectorTerm, Pod } from 'kubernetes-types/core/v1.js';
import { labelsContain, requirementMatches } from '../../kube/selector.ts';

/** Whether any term takes the node; a selector without terms takes none. */
export const nodeSelectorMatches = (selector: NodeSelector, node: Node): boolean =>
  (selector.nodeSelectorTerms ?? []).some((term) => termMatches(term, node));

/** All of a term's requirements; a term without any takes nothing. */
export function termMatches(term: NodeSelectorTerm, node: Node): boolean {
  const { matchExpressions = [], matchFields = [] } = term;
  if (matchExpressions.length + matchFields.length === 0) return false;
  const fields = { 'metadata.name': node.metadata?.name ?? '' };
  return (
    matchExpressions.every((one) =>
      requirementMatches(one.key, one.operator, one.values, node.metadata?.labels),
    ) && matchFields.every((one) => requirementMatches(one.key, one.operator, one.values, fields))
  );
}

/** The pod's nodeSelector and its required node affinity. */
export function podWantsNode(pod: Pod, node: Node): boolean {
  if (!labelsContain(pod.spec?.nodeSelector, node.metadata?.labels)) return false;
  const required = pod.spec?.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution;
  return required === undefined || nodeSelectorMatches(required, node);
}

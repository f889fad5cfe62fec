import type { Deployment, ReplicaSet } from 'kubernetes-types/apps/v1.js';
import type { Stored } from '../../api/resource.ts';
import { parseTime } from '../../kube/micro-time.ts';
import { sameTemplate } from './pod-template.ts';

export const hashLabel = 'pod-template-hash';
export const revisionAnnotation = 'deployment.kubernetes.io/revision';
const historyAnnotation = 'deployment.kubernetes.io/revision-history';
const desiredAnnotation = 'deployment.kubernetes.io/desired-replicas';
const maxAnnotation = 'deployment.kubernetes.io/max-replicas';

/** Said by kubectl or by us about one object only, so never handed on to a ReplicaSet. */
const ownAnnotations = new Set([
  'kubectl.kubernetes.io/last-applied-configuration',
  revisionAnnotation,
  historyAnnotation,
  desiredAnnotation,
  maxAnnotation,
  'deprecated.deployment.rollback.to',
]);

export const revisionOf = (replicaSet: ReplicaSet): number =>
  Number(replicaSet.metadata?.annotations?.[revisionAnnotation] ?? 0) || 0;

/** The ReplicaSet of the Deployment's present template: the oldest, where several match. */
export function findNewReplicaSet(
  deployment: Deployment,
  replicaSets: readonly Stored<ReplicaSet>[],
): Stored<ReplicaSet> | undefined {
  return byAge(replicaSets).find((one) =>
    sameTemplate(one.spec?.template, deployment.spec?.template, hashLabel),
  );
}

/** Oldest first. */
export const byAge = (replicaSets: readonly Stored<ReplicaSet>[]): Stored<ReplicaSet>[] =>
  [...replicaSets].sort(
    (a, b) =>
      (parseTime(a.metadata.creationTimestamp) ?? 0) - (parseTime(b.metadata.creationTimestamp) ?? 0) ||
      (a.metadata.name < b.metadata.name ? -1 : 1),
  );

/** The number that the present template's ReplicaSet shall have: above every older one. */
export function nextRevision(
  replicaSets: readonly Stored<ReplicaSet>[],
  newest: Stored<ReplicaSet> | undefined,
): number {
  const others = replicaSets.filter((one) => one.metadata.uid !== newest?.metadata.uid).map(revisionOf);
  return Math.max(newest ? revisionOf(newest) : 0, Math.max(0, ...others) + 1);
}

/** The annotations of a ReplicaSet: the Deployment's, its revision, and the sizes it was scaled for. */
export function replicaSetAnnotations(
  deployment: Deployment,
  existing: ReplicaSet | undefined,
  revision: number | undefined,
  sizes: { readonly desired: number; readonly max: number },
): Record<string, string> {
  const handedOn = Object.entries(deployment.metadata?.annotations ?? {}).filter(
    ([key]) => !ownAnnotations.has(key),
  );
  const annotations: Record<string, string> = {
    ...existing?.metadata?.annotations,
    ...Object.fromEntries(handedOn),
    [desiredAnnotation]: String(sizes.desired),
    [maxAnnotation]: String(sizes.max),
  };
  if (revision === undefined) return annotations;
  const before = existing && revisionOf(existing);
  if (before && before !== revision) {
    // A rollback gives an old template a new number; the numbers it had stay on record.
    const history = (annotations[historyAnnotation] ?? '').split(',').filter((one) => one !== '');
    annotations[historyAnnotation] = [...history, String(before)].slice(-20).join(',');
  }
  return { ...annotations, [revisionAnnotation]: String(revision) };
}

/** The Deployment's size when this ReplicaSet was last scaled. */
export function desiredWhenScaled(replicaSet: ReplicaSet): number | undefined {
  const text = replicaSet.metadata?.annotations?.[desiredAnnotation];
  return text !== undefined && /^\d+$/.test(text) ? Number(text) : undefined;
}

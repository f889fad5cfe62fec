import type { Deployment, DeploymentStatus, ReplicaSet } from 'kubernetes-types/apps/v1.js';
import type { Stored } from '../../api/resource.ts';
import {
  findCondition,
  setCondition,
  type Condition,
  type ConditionUpdate,
} from '../../control/conditions.ts';
import { parseTime, secondTime } from '../../kube/micro-time.ts';
import type { RolloutLimits } from './deployment-sizes.ts';

export interface RolloutView {
  readonly deployment: Stored<Deployment>;
  readonly all: readonly Stored<ReplicaSet>[];
  readonly newest: Stored<ReplicaSet> | undefined;
  readonly limits: RolloutLimits;
  readonly nowMs: number;
  /** A step that failed in this reconcile, such as a ReplicaSet that could not be created. */
  readonly failure?: Error | undefined;
  readonly created?: boolean;
}

const sum = (replicaSets: readonly ReplicaSet[], read: (one: ReplicaSet) => number | undefined): number =>
  replicaSets.reduce((total, one) => total + (read(one) ?? 0), 0);

/** The Deployment's status as its ReplicaSets have it. */
export function deploymentStatus(view: RolloutView): DeploymentStatus {
  const { deployment, all, newest, limits, nowMs } = view;
  const total = sum(all, (one) => one.status?.replicas);
  const availableReplicas = sum(all, (one) => one.status?.availableReplicas);
  const before = deployment.status ?? {};
  const counts: DeploymentStatus = {
    observedGeneration: deployment.metadata.generation ?? 0,
    replicas: total,
    updatedReplicas: newest?.status?.replicas ?? 0,
    readyReplicas: sum(all, (one) => one.status?.readyReplicas),
    availableReplicas,
    unavailableReplicas: Math.max(0, sum(all, (one) => one.spec?.replicas) - availableReplicas),
    ...(before.collisionCount === undefined ? {} : { collisionCount: before.collisionCount }),
  };
  let conditions = (before.conditions ?? []) as Condition[];
  const set = (update: ConditionUpdate) => {
    conditions = setWithUpdateTime(conditions, update, nowMs);
  };
  const enough = availableReplicas >= limits.replicas - limits.maxUnavailable;
  set({
    type: 'Available',
    status: enough,
    reason: enough ? 'MinimumReplicasAvailable' : 'MinimumReplicasUnavailable',
    message: enough
      ? 'Deployment has minimum availability.'
      : 'Deployment does not have minimum availability.',
  });
  const progress = progressCondition(view, counts);
  if (progress) set(progress.update);
  if (progress?.moved) {
    // Progress without a change of status: the deadline counts from here.
    conditions = conditions.map((one) =>
      one.type === 'Progressing' ? { ...one, lastUpdateTime: secondTime(nowMs) } : one,
    );
  }
  const failed = all
    .map((one) => one.status?.conditions?.find((c) => c.type === 'ReplicaFailure'))
    .find(Boolean);
  if (failed) {
    const { reason = 'FailedCreate', message = '' } = failed;
    set({ type: 'ReplicaFailure', status: true, reason, message });
  } else {
    conditions = conditions.filter((one) => one.type !== 'ReplicaFailure');
  }
  return { ...counts, conditions: conditions as NonNullable<DeploymentStatus['conditions']> };
}

function setWithUpdateTime(conditions: Condition[], update: ConditionUpdate, nowMs: number): Condition[] {
  const next = setCondition(conditions, update, nowMs);
  if (next === conditions) return conditions;
  return next.map((one) => (one.type === update.type ? { ...one, lastUpdateTime: secondTime(nowMs) } : one));
}

/** Every old pod is gone and every new one is there and available. */
export function isComplete(view: Omit<RolloutView, 'nowMs'>, counts: DeploymentStatus): boolean {
  const { replicas } = view.limits;
  return (
    counts.updatedReplicas === replicas &&
    counts.replicas === replicas &&
    counts.availableReplicas === replicas
  );
}

/** How long until the rollout's deadline is over, or undefined where none counts. */
export function deadlineInMs(deployment: Deployment, nowMs: number): number | undefined {
  const seconds = deployment.spec?.progressDeadlineSeconds;
  if (seconds === undefined || seconds >= 2_147_483_647 || deployment.spec?.paused) return undefined;
  const condition = findCondition(deployment.status?.conditions, 'Progressing');
  if (!condition || condition.reason === 'NewReplicaSetAvailable') return undefined;
  if (condition.reason === 'ProgressDeadlineExceeded') return undefined;
  const sinceMs = parseTime(condition.lastUpdateTime) ?? nowMs;
  return Math.max(0, sinceMs + seconds * 1000 - nowMs);
}

function progressCondition(
  view: RolloutView,
  counts: DeploymentStatus,
): { readonly update: ConditionUpdate; readonly moved: boolean } | undefined {
  const { deployment, newest } = view;
  const before = findCondition(deployment.status?.conditions, 'Progressing');
  const say = (status: boolean | 'Unknown', reason: string, message: string, moved = false) => ({
    update: { type: 'Progressing', status, reason, message },
    moved,
  });
  if (view.failure) return say(false, 'ReplicaSetCreateError', view.failure.message);
  if (deployment.spec?.paused) return say('Unknown', 'DeploymentPaused', 'Deployment is paused');
  if (!newest) return undefined;
  const name = `ReplicaSet "${newest.metadata.name}"`;
  if (isComplete(view, counts)) {
    return say(true, 'NewReplicaSetAvailable', `${name} has successfully progressed.`);
  }
  if (view.created)
    return say(true, 'NewReplicaSetCreated', `Created new replica set "${newest.metadata.name}"`, true);
  if (!before || before.reason === 'DeploymentPaused') {
    return say(true, 'FoundNewReplicaSet', `Found new replica set "${newest.metadata.name}"`, true);
  }
  const old = deployment.status ?? {};
  const oldOnes = (status: DeploymentStatus) => (status.replicas ?? 0) - (status.updatedReplicas ?? 0);
  const progressed =
    (counts.updatedReplicas ?? 0) > (old.updatedReplicas ?? 0) ||
    oldOnes(counts) < oldOnes(old) ||
    (counts.readyReplicas ?? 0) > (old.readyReplicas ?? 0) ||
    (counts.availableReplicas ?? 0) > (old.availableReplicas ?? 0) ||
    // A finished rollout that is no longer complete: a new spec, or pods that were lost.
    (before.reason === 'NewReplicaSetAvailable' && old.observedGeneration !== deployment.metadata.generation);
  if (progressed) return say(true, 'ReplicaSetUpdated', `${name} is progressing.`, true);
  if (deadlineInMs(deployment, view.nowMs) === 0) {
    return say(false, 'ProgressDeadlineExceeded', `${name} has timed out progressing.`);
  }
  return undefined;
}

import type { Pod } from 'kubernetes-types/core/v1.js';
import { parseTime } from '../../kube/micro-time.ts';

/** Succeeded or Failed: no container of it runs again. */
export const isTerminal = (pod: Pod): boolean =>
  pod.status?.phase === 'Succeeded' || pod.status?.phase === 'Failed';

export const isTerminating = (pod: Pod): boolean => pod.metadata?.deletionTimestamp !== undefined;

/** Counts as one of its controller's pods. */
export const isActive = (pod: Pod): boolean => !isTerminal(pod) && !isTerminating(pod);

export const podCondition = (pod: Pod, type: string) =>
  pod.status?.conditions?.find((condition) => condition.type === type);

export const isReady = (pod: Pod): boolean => podCondition(pod, 'Ready')?.status === 'True';

/** Since when it is ready, in milliseconds since the epoch. */
export const readySinceMs = (pod: Pod): number | undefined =>
  isReady(pod) ? (parseTime(podCondition(pod, 'Ready')?.lastTransitionTime) ?? 0) : undefined;

/**
 * How long until the pod counts as available: 0 where it does now, undefined where it is not even ready.
 */
export function availableInMs(pod: Pod, minReadySeconds: number, nowMs: number): number | undefined {
  const sinceMs = readySinceMs(pod);
  if (sinceMs === undefined) return undefined;
  return minReadySeconds === 0 ? 0 : Math.max(0, sinceMs + minReadySeconds * 1000 - nowMs);
}

/** Restarts of all its containers. */
export const restartsOf = (pod: Pod): number =>
  [...(pod.status?.initContainerStatuses ?? []), ...(pod.status?.containerStatuses ?? [])].reduce(
    (sum, one) => sum + (one.restartCount ?? 0),
    0,
  );

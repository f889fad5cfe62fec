import type { Job } from 'kubernetes-types/batch/v1.js';
import type { Pod } from 'kubernetes-types/core/v1.js';
import type { Stored } from '../../api/resource.ts';
import { parseTime } from '../../kube/micro-time.ts';
import { isTerminal, isTerminating, restartsOf } from './pod-state.ts';
import { hasCondition } from '../../control/conditions.ts';

export interface JobPods {
  readonly active: readonly Stored<Pod>[];
  readonly succeeded: readonly Stored<Pod>[];
  readonly failed: readonly Stored<Pod>[];
  readonly ready: number;
  readonly terminating: number;
  /** What counts against backoffLimit: failed pods, or restarts where the pods restart by themselves. */
  readonly failures: number;
}

export function sortJobPods(
  job: Job,
  pods: readonly Stored<Pod>[],
  asked: (uid: string) => boolean,
): JobPods {
  const going = (pod: Stored<Pod>) => isTerminating(pod) || asked(pod.metadata.uid);
  const active = pods.filter((pod) => !isTerminal(pod) && !going(pod));
  const failed = pods.filter((pod) => pod.status?.phase === 'Failed');
  const restarts =
    job.spec?.template.spec?.restartPolicy === 'OnFailure'
      ? active.reduce((sum, pod) => sum + restartsOf(pod), 0)
      : 0;
  return {
    active,
    succeeded: pods.filter((pod) => pod.status?.phase === 'Succeeded'),
    failed,
    ready: active.filter((pod) => hasCondition(pod.status?.conditions, 'Ready')).length,
    terminating: pods.filter((pod) => !isTerminal(pod) && going(pod)).length,
    failures: failed.length + restarts,
  };
}

/** When the last container of the pod ended, in milliseconds since the epoch. */
export function finishedAtMs(pod: Stored<Pod>): number {
  const ends = (pod.status?.containerStatuses ?? []).map((one) =>
    parseTime(one.state?.terminated?.finishedAt),
  );
  const known = ends.filter((one) => one !== undefined);
  return known.length > 0 ? Math.max(...known) : (parseTime(pod.metadata.creationTimestamp) ?? 0);
}

export interface JobVerdict {
  readonly type: 'Complete' | 'Failed';
  readonly reason: string;
  readonly message: string;
}

/** Whether the Job is over, or nothing while it goes on. */
export function judgeJob(job: Stored<Job>, pods: JobPods, nowMs: number): JobVerdict | undefined {
  const { completions, backoffLimit = 6, activeDeadlineSeconds } = job.spec ?? {};
  if (pods.failures > backoffLimit) {
    return {
      type: 'Failed',
      reason: 'BackoffLimitExceeded',
      message: 'Job has reached the specified backoff limit',
    };
  }
  const startMs = parseTime(job.status?.startTime);
  const late = activeDeadlineSeconds !== undefined && startMs !== undefined;
  if (late && !job.spec?.suspend && nowMs - startMs >= activeDeadlineSeconds * 1000) {
    return {
      type: 'Failed',
      reason: 'DeadlineExceeded',
      message: 'Job was active longer than specified deadline',
    };
  }
  // Without `completions` any success ends it, once the others have stopped by themselves.
  const enough =
    completions === undefined || completions === null
      ? pods.succeeded.length > 0 && pods.active.length === 0
      : pods.succeeded.length >= completions;
  if (!enough) return undefined;
  return {
    type: 'Complete',
    reason: 'CompletionsReached',
    message: 'Reached expected number of succeeded pods',
  };
}

/** How many pods may be active now. */
export function wantedActive(job: Job, pods: JobPods): number {
  const { completions, parallelism = 1, suspend } = job.spec ?? {};
  if (suspend) return 0;
  if (completions === undefined || completions === null) {
    return pods.succeeded.length > 0 ? Math.min(pods.active.length, parallelism) : parallelism;
  }
  return Math.min(parallelism, completions - pods.succeeded.length);
}

import type { Job, JobStatus } from 'kubernetes-types/batch/v1.js';
import type { Pod } from 'kubernetes-types/core/v1.js';
import { Jobs, Pods } from '../../api/core.ts';
import { refOf, type Stored } from '../../api/resource.ts';
import { findCondition, hasCondition, setCondition, type Condition } from '../../control/conditions.ts';
import { isDeleted } from '../../control/finalizer.ts';
import { done, requeueAfter, type Outcome } from '../../control/outcome.ts';
import type { ControllerSpec } from '../../control/reconciler.ts';
import { writeStatus } from '../../control/status.ts';
import { triggeredByOwned } from '../../control/trigger.ts';
import { isConflict } from '../../kube/errors.ts';
import type { EventRecorder } from '../../kube/events.ts';
import { parseTime, secondTime } from '../../kube/micro-time.ts';
import { backoffMs } from '../../lib/backoff.ts';
import { askedDeletions, type AskedDeletions } from './asked-deletions.ts';
import { claimIndexes, claimObjects } from './claim.ts';
import type { Environment } from './environment.ts';
import {
  finishedAtMs,
  judgeJob,
  sortJobPods,
  wantedActive,
  type JobPods,
  type JobVerdict,
} from './job-pods.ts';
import { createPods, deletePods, type PodBatch } from './pod-batches.ts';
import { podFromTemplate } from './pod-template.ts';

const failureBackoff = { baseMs: 10_000, maxMs: 360_000 };

/** Runs each Job's pods until enough have succeeded, or too many have failed. */
export function jobController(environment: Environment): ControllerSpec<Job> {
  const { client, caches, clock } = environment;
  const pods = caches.cache(Pods, {}, claimIndexes);
  const events = environment.events('job-controller');
  const asked = askedDeletions(clock);
  return {
    resource: Jobs,
    triggers: [triggeredByOwned(Pods, 'Job')],
    reconciler: {
      name: 'job',
      async reconcile(job, { signal }) {
        if (isDeleted(job)) return done;
        const finished = finishedCondition(job);
        if (finished) return await afterFinish(environment, job, finished, signal);
        const selector = job.spec?.selector ?? { matchLabels: jobLabels(job) };
        const held = await claimObjects(
          { client, resource: Pods, cache: pods, owner: job, selector },
          { signal },
        );
        return await advance({ environment, job, held, events, asked, signal });
      },
    },
  };
}

interface Turn {
  readonly environment: Environment;
  readonly job: Stored<Job>;
  readonly held: readonly Stored<Pod>[];
  readonly events: EventRecorder;
  readonly asked: AskedDeletions;
  readonly signal: AbortSignal;
}

/** What the API puts on a Job's template, and we on pods where it did not. */
const jobLabels = (job: Stored<Job>): Record<string, string> => ({
  'batch.kubernetes.io/controller-uid': job.metadata.uid,
});

const finishedCondition = (job: Job): Condition | undefined => {
  const conditions = job.status?.conditions as Condition[] | undefined;
  return ['Complete', 'Failed']
    .map((type) => findCondition(conditions, type))
    .find((one) => one?.status === 'True');
};

async function advance(turn: Turn): Promise<Outcome> {
  const { environment, job, held, asked, events, signal } = turn;
  const { clock } = environment;
  const sorted = sortJobPods(job, held, (uid) => asked.has(uid));
  const verdict = judgeJob(job, sorted, clock.now());
  const batch: PodBatch = {
    client: environment.client,
    cache: environment.caches.cache(Pods),
    events,
    owner: job,
    signal,
  };
  if (verdict) {
    const failure = await deletePods(batch, sorted.active, asked);
    if (failure) throw failure;
    await report(turn, { ...sorted, active: [] }, verdict);
    const type = verdict.type === 'Failed' ? 'Warning' : 'Normal';
    const [reason, message] =
      verdict.type === 'Failed' ? [verdict.reason, verdict.message] : ['Completed', 'Job completed'];
    events.event(job, type, reason, message);
    return done;
  }
  const wanted = wantedActive(job, sorted);
  const restMs = restAfterFailureMs(sorted, clock.now());
  let active = sorted.active;
  if (active.length > wanted) {
    // Those that have done least go first: not yet running before running, young before old.
    const order = [...active].sort((a, b) => Number(isRunning(a)) - Number(isRunning(b)) || age(b) - age(a));
    const failure = await deletePods(batch, order.slice(0, active.length - wanted), asked);
    if (failure) throw failure;
    active = active.filter((pod) => !asked.has(pod.metadata.uid));
  } else if (active.length + terminatingOf(job, sorted) < wanted && restMs <= 0) {
    const missing = wanted - active.length - terminatingOf(job, sorted);
    const made = await createPods(
      batch,
      Array.from({ length: missing }, () => jobPod(job)),
    );
    active = [...active, ...made.pods];
    if (made.failure) throw made.failure;
  }
  await report(turn, { ...sorted, active }, undefined);
  return nextLook(job, restMs > 0 && active.length < wanted ? restMs : undefined, clock.now());
}

const isRunning = (pod: Pod): boolean => pod.status?.phase === 'Running';
const age = (pod: Stored<Pod>): number => parseTime(pod.metadata.creationTimestamp) ?? 0;

/** Pods that still stop count where their replacement shall wait for their end. */
const terminatingOf = (job: Job, pods: JobPods): number =>
  (job.spec as { podReplacementPolicy?: string } | undefined)?.podReplacementPolicy === 'Failed'
    ? pods.terminating
    : 0;

function jobPod(job: Stored<Job>): Pod {
  const { name, uid } = job.metadata;
  const labels = {
    ...jobLabels(job),
    'batch.kubernetes.io/job-name': name,
    'controller-uid': uid,
    'job-name': name,
  };
  return podFromTemplate(job.spec?.template, job, { labels });
}

/** Failed pods are replaced later each time: 10 s after the first, at most 6 minutes. */
function restAfterFailureMs({ failed }: JobPods, nowMs: number): number {
  if (failed.length === 0) return 0;
  const lastMs = Math.max(...failed.map(finishedAtMs));
  return lastMs + backoffMs(failed.length - 1, failureBackoff) - nowMs;
}

function nextLook(job: Stored<Job>, restMs: number | undefined, nowMs: number): Outcome {
  const seconds = job.spec?.activeDeadlineSeconds;
  const startMs = parseTime(job.status?.startTime) ?? nowMs;
  const deadlineMs = seconds === undefined ? undefined : Math.max(0, startMs + seconds * 1000 - nowMs);
  const waits = [restMs, deadlineMs].filter((one) => one !== undefined);
  return waits.length === 0 ? done : requeueAfter(Math.max(1, Math.min(...waits)));
}

async function report(turn: Turn, pods: JobPods, verdict: JobVerdict | undefined): Promise<void> {
  const { environment, job, signal } = turn;
  const { client, caches, clock } = environment;
  const statusOf = (current: Stored<Job>): JobStatus => {
    let conditions = (current.status?.conditions ?? []) as Condition[];
    const nowMs = clock.now();
    const set = (type: string, status: boolean, reason: string, message: string) => {
      conditions = setCondition(conditions, { type, status, reason, message }, nowMs).map((one) =>
        one.type === type && one.lastTransitionTime !== undefined
          ? ({ lastProbeTime: one.lastTransitionTime, ...one } as Condition)
          : one,
      );
    };
    const suspended = job.spec?.suspend === true;
    if (suspended) set('Suspended', true, 'JobSuspended', 'Job suspended');
    else if (hasCondition(conditions, 'Suspended')) set('Suspended', false, 'JobResumed', 'Job resumed');
    if (verdict) {
      set(
        verdict.type === 'Complete' ? 'SuccessCriteriaMet' : 'FailureTarget',
        true,
        verdict.reason,
        verdict.message,
      );
      set(verdict.type, true, verdict.reason, verdict.message);
    }
    const { startTime: before, ...status } = current.status ?? {};
    const startTime = suspended ? undefined : (before ?? secondTime(nowMs));
    return {
      ...status,
      ...(startTime === undefined ? {} : { startTime }),
      ...(verdict?.type === 'Complete' ? { completionTime: secondTime(nowMs) } : {}),
      active: pods.active.length,
      succeeded: pods.succeeded.length,
      failed: pods.failed.length,
      ready: pods.ready,
      terminating: pods.terminating,
      ...(conditions.length > 0 ? { conditions: conditions as never } : {}),
    } as JobStatus;
  };
  const written = await writeStatus(client, Jobs, job, statusOf, { signal });
  if (written) caches.cache(Jobs).remember(written);
}

/** A Job that is over goes after its time to live, with its pods. */
async function afterFinish(
  { client, clock }: Environment,
  job: Stored<Job>,
  finished: Condition,
  signal: AbortSignal,
): Promise<Outcome> {
  const seconds = job.spec?.ttlSecondsAfterFinished;
  if (seconds === undefined || seconds === null) return done;
  const atMs = parseTime(finished.lastTransitionTime) ?? clock.now();
  const leftMs = atMs + seconds * 1000 - clock.now();
  if (leftMs > 0) return requeueAfter(leftMs);
  const { uid, resourceVersion } = job.metadata;
  try {
    // Foreground: the Job's name is free again only when its pods are gone.
    await client.delete(Jobs, refOf(job), { signal, uid, resourceVersion, propagationPolicy: 'Foreground' });
  } catch (error) {
    if (!isConflict(error)) throw error;
    return requeueAfter(1_000);
  }
  return done;
}

import type { ReplicaSet } from 'kubernetes-types/apps/v1.js';
import type { Pod } from 'kubernetes-types/core/v1.js';
import { Pods, ReplicaSets } from '../../api/core.ts';
import { refOf, type Stored } from '../../api/resource.ts';
import { setCondition } from '../../control/conditions.ts';
import { isDeleted } from '../../control/finalizer.ts';
import { done, requeueAfter, type Outcome } from '../../control/outcome.ts';
import type { ControllerSpec } from '../../control/reconciler.ts';
import { writeStatus } from '../../control/status.ts';
import { triggeredBy, triggeredByOwned } from '../../control/trigger.ts';
import type { EventRecorder } from '../../kube/events.ts';
import { selectorMatches } from '../../kube/selector.ts';
import { askedDeletions, type AskedDeletions } from './asked-deletions.ts';
import { claimIndexes, claimObjects } from './claim.ts';
import type { Environment } from './environment.ts';
import { createPods, deletePods } from './pod-batches.ts';
import { byDeletionOrder } from './pod-ranking.ts';
import { availableInMs, isActive, isReady } from './pod-state.ts';
import { podFromTemplate } from './pod-template.ts';

/** Keeps as many pods as each ReplicaSet says. */
export function replicaSetController(environment: Environment): ControllerSpec<ReplicaSet> {
  const { client, caches, clock } = environment;
  const pods = caches.cache(Pods, {}, claimIndexes);
  const replicaSets = caches.cache(ReplicaSets, {}, claimIndexes);
  const events = environment.events('replicaset-controller');
  const asked = askedDeletions(clock);

  return {
    resource: ReplicaSets,
    concurrency: 8,
    triggers: [
      triggeredByOwned(Pods, 'ReplicaSet'),
      triggeredBy(Pods, (pod) => {
        if (pod.metadata.ownerReferences?.some((one) => one.controller)) return [];
        const { namespace, labels } = pod.metadata;
        return replicaSets
          .list(namespace)
          .filter((one) => selectorMatches(one.spec?.selector, labels))
          .map(refOf);
      }),
    ],
    reconciler: {
      name: 'replicaset',
      async reconcile(replicaSet, { signal }) {
        const options = { signal };
        const selector = replicaSet.spec?.selector;
        const held = await claimObjects(
          { client, resource: Pods, cache: pods, owner: replicaSet, selector },
          options,
        );
        const active = held.filter((pod) => isActive(pod) && !asked.has(pod.metadata.uid));
        const scaled = isDeleted(replicaSet)
          ? { active }
          : await scale(environment, replicaSet, active, asked, events, signal);
        const outcome = await report(environment, replicaSet, scaled.active, scaled.failure, signal);
        if (scaled.failure) throw scaled.failure;
        return outcome;
      },
    },
  };
}

interface Scaled {
  readonly active: readonly Stored<Pod>[];
  readonly failure?: Error | undefined;
}

async function scale(
  { client, caches, random }: Environment,
  replicaSet: Stored<ReplicaSet>,
  active: readonly Stored<Pod>[],
  asked: AskedDeletions,
  events: EventRecorder,
  signal: AbortSignal,
): Promise<Scaled> {
  const cache = caches.cache(Pods);
  const wanted = replicaSet.spec?.replicas ?? 1;
  if (active.length < wanted) {
    const batch = { client, cache, events, owner: replicaSet, signal };
    const pod = podFromTemplate(replicaSet.spec?.template, replicaSet);
    const made = await createPods(
      batch,
      Array.from({ length: wanted - active.length }, () => pod),
    );
    return { active: [...active, ...made.pods], failure: made.failure };
  }
  if (active.length === wanted) return { active };
  const order = byDeletionOrder(
    active,
    cache.list(replicaSet.metadata.namespace).filter((pod) => isActive(pod)),
    random,
  );
  const surplus = order.slice(0, active.length - wanted);
  const failure = await deletePods({ client, cache, events, owner: replicaSet, signal }, surplus, asked);
  const left = active.filter((pod) => !asked.has(pod.metadata.uid));
  return { active: left, failure };
}

async function report(
  { client, caches, clock }: Environment,
  replicaSet: Stored<ReplicaSet>,
  active: readonly Stored<Pod>[],
  failure: Error | undefined,
  signal: AbortSignal,
): Promise<Outcome> {
  const minReadySeconds = replicaSet.spec?.minReadySeconds ?? 0;
  const templateLabels = replicaSet.spec?.template?.metadata?.labels ?? {};
  const waits = active.map((pod) => availableInMs(pod, minReadySeconds, clock.now()));
  const counts = {
    replicas: active.length,
    fullyLabeledReplicas: active.filter((pod) =>
      selectorMatches({ matchLabels: templateLabels }, pod.metadata.labels),
    ).length,
    readyReplicas: active.filter(isReady).length,
    availableReplicas: waits.filter((wait) => wait === 0).length,
    observedGeneration: replicaSet.metadata.generation ?? 0,
  };
  const written = await writeStatus(
    client,
    ReplicaSets,
    replicaSet,
    (current) => ({ ...current.status, ...counts, ...failureCondition(current, failure, clock.now()) }),
    { signal },
  );
  if (written) caches.cache(ReplicaSets).remember(written);
  const pending = waits.filter((wait) => wait !== undefined && wait > 0) as number[];
  return pending.length === 0 ? done : requeueAfter(Math.min(...pending));
}

function failureCondition(replicaSet: ReplicaSet, failure: Error | undefined, nowMs: number) {
  const conditions = replicaSet.status?.conditions ?? [];
  if (failure) {
    const update = {
      type: 'ReplicaFailure',
      status: true,
      reason: 'FailedCreate',
      message: failure.message,
    } as const;
    return { conditions: setCondition(conditions, update, nowMs) };
  }
  const others = conditions.filter((one) => one.type !== 'ReplicaFailure');
  return others.length === conditions.length ? {} : { conditions: others };
}

import type { Pod } from 'kubernetes-types/core/v1.js';
import type { PodDisruptionBudget } from 'kubernetes-types/policy/v1.js';
import { Deployments, PodDisruptionBudgets, Pods, ReplicaSets, StatefulSets } from '../../api/core.ts';
import { refOf, type Stored } from '../../api/resource.ts';
import { setCondition } from '../../control/conditions.ts';
import { done, requeueAfter } from '../../control/outcome.ts';
import type { ControllerSpec } from '../../control/reconciler.ts';
import { writeStatus } from '../../control/status.ts';
import { triggeredBy } from '../../control/trigger.ts';
import type { CacheSet } from '../../kube/cache-set.ts';
import { parseTime } from '../../kube/micro-time.ts';
import { controllerOf } from '../../kube/owner-reference.ts';
import { selectorMatches } from '../../kube/selector.ts';
import type { Environment } from './environment.ts';
import { isReady, isTerminal, isTerminating } from './pod-state.ts';
import { scaledValue } from './pod-template.ts';

/** An eviction that was allowed and whose pod is still there after this long did not happen. */
const evictionLimitMs = 120_000;

/** Says in each PodDisruptionBudget's status how many evictions it allows now. */
export function disruptionController({
  client,
  caches,
  clock,
}: Environment): ControllerSpec<PodDisruptionBudget> {
  const pods = caches.cache(Pods);
  const budgets = caches.cache(PodDisruptionBudgets);
  for (const kind of [Deployments, ReplicaSets, StatefulSets]) caches.cache(kind as typeof ReplicaSets);
  return {
    resource: PodDisruptionBudgets,
    triggers: [
      triggeredBy(Pods, (pod) =>
        budgets
          .list(pod.metadata.namespace ?? '')
          .filter((budget) => takes(budget, pod))
          .map(refOf),
      ),
    ],
    reconciler: {
      name: 'disruption',
      async reconcile(budget, { signal }) {
        const covered = pods
          .list(budget.metadata.namespace ?? '')
          .filter((pod) => takes(budget, pod) && !isTerminal(pod));
        const nowMs = clock.now();
        const disrupted = pendingEvictions(budget, covered, nowMs);
        const healthy = covered.filter(
          (pod) => isReady(pod) && !isTerminating(pod) && !(pod.metadata.name in disrupted),
        ).length;
        const { expected, desired } = wantedHealth(budget, covered, caches);
        const allowed = expected > 0 ? Math.max(0, healthy - desired) : 0;
        const written = await writeStatus(
          client,
          PodDisruptionBudgets,
          budget,
          (current) => ({
            ...current.status,
            currentHealthy: healthy,
            desiredHealthy: desired,
            expectedPods: expected,
            disruptionsAllowed: allowed,
            disruptedPods: disrupted,
            observedGeneration: budget.metadata.generation ?? 0,
            conditions: setCondition(
              current.status?.conditions,
              {
                type: 'DisruptionAllowed',
                status: allowed > 0,
                reason: allowed > 0 ? 'SufficientPods' : 'InsufficientPods',
                message: '',
                observedGeneration: budget.metadata.generation,
              },
              nowMs,
            ),
          }),
          { signal },
        );
        if (written) budgets.remember(written);
        return Object.keys(disrupted).length > 0 ? requeueAfter(evictionLimitMs) : done;
      },
    },
  };
}

const takes = (budget: PodDisruptionBudget, pod: Pod): boolean =>
  selectorMatches(budget.spec?.selector, pod.metadata?.labels);

/** Evictions that the API noted and whose pods have not begun to go yet. */
function pendingEvictions(
  budget: PodDisruptionBudget,
  pods: readonly Stored<Pod>[],
  nowMs: number,
): Record<string, string> {
  const noted = Object.entries((budget.status?.disruptedPods ?? {}) as Record<string, string>);
  return Object.fromEntries(
    noted.filter(([name, time]) => {
      const pod = pods.find((one) => one.metadata.name === name);
      return pod && !isTerminating(pod) && nowMs - (parseTime(time) ?? 0) < evictionLimitMs;
    }),
  );
}

function wantedHealth(
  budget: PodDisruptionBudget,
  pods: readonly Stored<Pod>[],
  caches: CacheSet,
): { readonly expected: number; readonly desired: number } {
  const { minAvailable, maxUnavailable } = budget.spec ?? {};
  if (maxUnavailable !== undefined) {
    const expected = expectedPods(pods, caches);
    return { expected, desired: Math.max(0, expected - scaledValue(maxUnavailable, expected, 'up', 0)) };
  }
  if (typeof minAvailable === 'string') {
    const expected = expectedPods(pods, caches);
    return { expected, desired: scaledValue(minAvailable, expected, 'up', 0) };
  }
  return { expected: pods.length, desired: minAvailable ?? 1 };
}

/** The sizes of the pods' controllers together; a pod without one counts for itself. */
function expectedPods(pods: readonly Stored<Pod>[], caches: CacheSet): number {
  const sizes = new Map<string, number>();
  for (const pod of pods) {
    const owner = controllerOf(pod);
    const { namespace } = pod.metadata;
    if (owner?.kind === 'ReplicaSet') {
      const replicaSet = caches.cache(ReplicaSets).get({ namespace, name: owner.name });
      const above = replicaSet && controllerOf(replicaSet);
      const deployment =
        above?.kind === 'Deployment'
          ? caches.cache(Deployments).get({ namespace, name: above.name })
          : undefined;
      sizes.set(above?.uid ?? owner.uid, (deployment ?? replicaSet)?.spec?.replicas ?? 1);
    } else if (owner?.kind === 'StatefulSet') {
      const set = caches.cache(StatefulSets).get({ namespace, name: owner.name });
      sizes.set(owner.uid, set?.spec?.replicas ?? 1);
    } else {
      sizes.set(pod.metadata.uid, 1);
    }
  }
  return [...sizes.values()].reduce((sum, one) => sum + one, 0);
}

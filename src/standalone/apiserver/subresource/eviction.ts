import type { PodDisruptionBudget } from 'kubernetes-types/policy/v1.js';
import { ApiError, badRequest } from '../status.ts';
import type { ApiObject, JsonObject, KindInfo } from '../kind.ts';
import { readObject } from '../http/body.ts';
import type { Answer, Exchange } from '../http/exchange.ts';
import { jsonReply } from '../http/respond.ts';
import { commitChange } from '../registry/commit.ts';
import { deleteObject, deleteRequest } from '../registry/delete.ts';
import { isObject, rfc3339 } from '../registry/json.ts';
import { cloneJson } from '../../../lib/clone-json.ts';
import { getObject, walk } from '../registry/list.ts';
import { selectorMatches } from '../registry/match-selector.ts';

const pdbStorage = 'policy/poddisruptionbudgets';
const maxDisrupted = 2000;

const blocked = (budget: string, needs: number, has: number) =>
  new ApiError(429, 'TooManyRequests', "Cannot evict pod as it would violate the pod's disruption budget.", {
    causes: [
      {
        reason: 'DisruptionBudget',
        message: `The disruption budget ${budget} needs ${needs} healthy pods and has ${has} currently`,
      },
    ],
    retryAfterSeconds: 10,
  });

/** Takes one disruption from a budget, so that two evictions at once cannot share it. */
async function take(
  exchange: Exchange,
  budgetKind: KindInfo,
  budget: ApiObject,
  podName: string,
  dryRun: boolean,
) {
  const { deps, caller } = exchange;
  const name = budget.metadata?.name ?? '';
  await commitChange(
    deps,
    budgetKind,
    budget.metadata?.namespace,
    name,
    { dryRun, signal: caller.signal },
    (live) => {
      const next = cloneJson(live);
      const { status, metadata } = next as unknown as PodDisruptionBudget;
      const allowed = status?.disruptionsAllowed ?? 0;
      const stale = (status?.observedGeneration ?? 0) < (metadata?.generation ?? 0);
      const disrupted = status?.disruptedPods ?? {};
      if (stale || allowed <= 0 || Object.keys(disrupted).length >= maxDisrupted)
        throw blocked(name, status?.desiredHealthy ?? 0, status?.currentHealthy ?? 0);
      (next as JsonObject)['status'] = {
        ...(status as unknown as JsonObject),
        disruptionsAllowed: allowed - 1,
        disruptedPods: { ...(disrupted as JsonObject), [podName]: rfc3339(deps.clock.now()) },
      };
      return { put: next };
    },
  );
}

/** POST pods/eviction: a deletion that asks the pod's disruption budgets first. */
export async function evictPod(exchange: Exchange): Promise<Answer> {
  const { deps, kind, route, caller, req, query } = exchange;
  const body = await readObject(req, caller.signal);
  if (!isObject(body)) throw badRequest('the body of an eviction is an Eviction');
  const request = deleteRequest(body['deleteOptions'], query);
  const name = route.name ?? '';
  const pod = await getObject(deps, kind, route.namespace, name, caller.signal);
  const phase = (pod as { status?: { phase?: string } }).status?.phase;
  const budgetKind = deps.kinds.find('policy', 'v1', 'poddisruptionbudgets');
  const snapshot = deps.cache.of(pdbStorage).snapshot();
  // A pod that ended or never started disrupts nobody.
  if (budgetKind && snapshot && phase !== 'Succeeded' && phase !== 'Failed' && phase !== 'Pending') {
    const budgets: ApiObject[] = [];
    walk(budgetKind, snapshot, { namespace: route.namespace }, undefined, (budget) => {
      const { spec } = budget as unknown as PodDisruptionBudget;
      if (spec?.selector && selectorMatches(spec.selector, pod.metadata?.labels ?? {})) budgets.push(budget);
      return true;
    });
    if (budgets.length > 1)
      throw new ApiError(
        500,
        'InternalError',
        'This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.',
      );
    for (const budget of budgets) await take(exchange, budgetKind, budget, name, request.dryRun);
  }
  await deleteObject(deps, kind, route.namespace, name, request, caller);
  return jsonReply(201, { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Success', code: 201 });
}

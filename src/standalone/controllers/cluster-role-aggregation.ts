import type { ClusterRole, PolicyRule } from 'kubernetes-types/rbac/v1.js';
import { ClusterRoles } from '../../api/core.ts';
import { refOf } from '../../api/resource.ts';
import { done } from '../../control/outcome.ts';
import type { ControllerSpec } from '../../control/reconciler.ts';
import { triggeredBy } from '../../control/trigger.ts';
import { patchDifference } from '../../kube/patch.ts';
import { selectorMatches } from '../../kube/selector.ts';
import type { Environment } from './environment.ts';
import { canonicalJson } from './pod-template.ts';

/** Fills aggregated ClusterRoles with the rules of those that their selectors take. */
export function clusterRoleAggregationController({
  client,
  caches,
}: Environment): ControllerSpec<ClusterRole> {
  const roles = caches.cache(ClusterRoles);
  return {
    resource: ClusterRoles,
    concurrency: 1,
    triggers: [
      triggeredBy(ClusterRoles, () =>
        roles
          .list()
          .filter((one) => one.aggregationRule)
          .map(refOf),
      ),
    ],
    reconciler: {
      name: 'cluster-role-aggregation',
      async reconcile(role, { signal }) {
        const selectors = role.aggregationRule?.clusterRoleSelectors;
        if (!selectors || role.metadata.deletionTimestamp !== undefined) return done;
        const seen = new Set<string>();
        const rules: PolicyRule[] = [];
        const sources = roles
          .list()
          .filter((one) => one.metadata.uid !== role.metadata.uid)
          .filter((one) => selectors.some((selector) => selectorMatches(selector, one.metadata.labels)))
          .sort((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1));
        for (const rule of sources.flatMap((one) => one.rules ?? [])) {
          const text = canonicalJson(rule);
          if (seen.has(text)) continue;
          seen.add(text);
          rules.push(rule);
        }
        const written = await patchDifference(client, ClusterRoles, role, { ...role, rules }, { signal });
        roles.remember(written);
        return done;
      },
    },
  };
}

import type { ClusterRole, PolicyRule, RoleRef, Subject } from 'kubernetes-types/rbac/v1.js';
import type { ApiObject } from '../kind.ts';
import type { KindCache } from '../registry/kind-cache.ts';
import { selectorMatches } from '../registry/match-selector.ts';
import type { UserInfo } from '../registry/request.ts';
import type { WatchCache } from '../registry/watch-cache.ts';
import { mastersGroup } from './access.ts';
import { ruleAllows, type Need } from './rules.ts';

const group = 'rbac.authorization.k8s.io';
export const roleStorages = {
  roles: `${group}/roles`,
  roleBindings: `${group}/rolebindings`,
  clusterRoles: `${group}/clusterroles`,
  clusterRoleBindings: `${group}/clusterrolebindings`,
} as const;

interface Grant {
  /** Absent: everywhere. */
  readonly namespace: string | undefined;
  readonly roleRef: RoleRef;
}

type Binding = ApiObject & { readonly roleRef: RoleRef; readonly subjects?: readonly Subject[] };

/** Who may do what, by the roles and bindings as the cache has them. */
export interface Rbac {
  allows(user: UserInfo, need: Need): boolean;
  /** All rules a user holds in a namespace, cluster-wide ones included. */
  rulesOf(user: UserInfo, namespace: string | undefined): PolicyRule[];
  rulesOfRole(
    ref: Pick<RoleRef, 'kind' | 'name'>,
    namespace: string | undefined,
  ): readonly PolicyRule[] | undefined;
}

function subjectKey(subject: Subject, bindingNamespace: string | undefined): string {
  if (subject.kind === 'ServiceAccount')
    return `User system:serviceaccount:${subject.namespace ?? bindingNamespace ?? ''}:${subject.name}`;
  return `${subject.kind} ${subject.name}`;
}

/** Reads roles and bindings where they are; an index by subject is made again when a binding changed. */
export function rbac(cache: WatchCache): Rbac {
  const roles = cache.of(roleStorages.roles);
  const clusterRoles = cache.of(roleStorages.clusterRoles);
  const bindings = [cache.of(roleStorages.roleBindings), cache.of(roleStorages.clusterRoleBindings)];
  let index: Map<string, Grant[]> | undefined;
  for (const kind of bindings) kind.onChange(() => (index = undefined));

  function addGrants(into: Map<string, Grant[]>, kind: KindCache): void {
    const snapshot = kind.snapshot();
    for (const key of snapshot?.keys ?? []) {
      const binding = snapshot?.get(key) as Binding | undefined;
      const namespace = binding?.metadata?.namespace;
      for (const subject of binding?.subjects ?? []) {
        const subjectIs = subjectKey(subject, namespace);
        const grants = into.get(subjectIs) ?? [];
        grants.push({ namespace, roleRef: (binding as Binding).roleRef });
        into.set(subjectIs, grants);
      }
    }
  }

  function grantsOf(user: UserInfo): Grant[] {
    if (!index) {
      index = new Map();
      for (const kind of bindings) addGrants(index, kind);
    }
    const known = index;
    const subjects = [`User ${user.name}`, ...user.groups.map((name) => `Group ${name}`)];
    return subjects.flatMap((subject) => known.get(subject) ?? []);
  }

  /** An aggregated role holds its own rules and those of the roles it selects by their labels. */
  function clusterRules(name: string): readonly PolicyRule[] | undefined {
    const role = clusterRoles.get(name) as unknown as ClusterRole | undefined;
    const selectors = role?.aggregationRule?.clusterRoleSelectors ?? [];
    if (!role || selectors.length === 0) return role && (role.rules ?? []);
    const snapshot = clusterRoles.snapshot();
    const others = (snapshot?.keys ?? []).filter((key) => key !== name).map((key) => snapshot?.get(key));
    const selected = others.filter((other) =>
      selectors.some((selector) => selectorMatches(selector, other?.metadata?.labels ?? {})),
    );
    return [role, ...(selected as unknown as ClusterRole[])].flatMap(({ rules }) => rules ?? []);
  }

  function rulesOfRole(ref: Pick<RoleRef, 'kind' | 'name'>, namespace: string | undefined) {
    if (ref.kind === 'ClusterRole') return clusterRules(ref.name);
    const role = roles.get(`${namespace ?? ''}/${ref.name}`);
    return role && ((role as unknown as ClusterRole).rules ?? []);
  }

  function* heldRules(user: UserInfo, namespace: string | undefined): Generator<PolicyRule> {
    for (const grant of grantsOf(user)) {
      if (grant.namespace !== undefined && grant.namespace !== namespace) continue;
      yield* rulesOfRole(grant.roleRef, grant.namespace) ?? [];
    }
  }

  return {
    allows(user, need) {
      if (user.groups.includes(mastersGroup)) return true;
      const namespace = 'path' in need ? undefined : need.namespace;
      for (const rule of heldRules(user, namespace)) if (ruleAllows(rule, need)) return true;
      return false;
    },
    rulesOf(user, namespace) {
      if (user.groups.includes(mastersGroup))
        return [
          { verbs: ['*'], apiGroups: ['*'], resources: ['*'] },
          { verbs: ['*'], nonResourceURLs: ['*'] },
        ];
      return [...heldRules(user, namespace)];
    },
    rulesOfRole,
  };
}

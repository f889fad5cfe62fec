import type { PolicyRule, RoleRef } from 'kubernetes-types/rbac/v1.js';
import type { ApiObject } from '../kind.ts';
import { sameJson } from '../registry/json.ts';
import type { AdmissionPlugin, AdmissionRequest } from '../registry/request.ts';
import { forbidden, invalid } from '../status.ts';
import { mastersGroup } from './access.ts';
import type { Rbac } from './rbac.ts';
import { ruleText, uncovered } from './rules.ts';

const group = 'rbac.authorization.k8s.io';

/** Nobody gives away more than they hold, unless a role lets them `escalate` or `bind`. */
export function noEscalation(rbac: Rbac): AdmissionPlugin {
  function assertHeld(request: AdmissionRequest, wanted: readonly PolicyRule[]): void {
    const { user, kind, name, namespace } = request;
    const missing = uncovered(rbac.rulesOf(user, namespace), wanted);
    if (missing.length === 0) return;
    const groups = user.groups.map((text) => JSON.stringify(text)).join(' ');
    throw forbidden(
      kind,
      name,
      `user "${user.name}" (groups=[${groups}]) is attempting to grant RBAC permissions not currently held:\n${missing.map(ruleText).join('\n')}`,
    );
  }

  function judgeRole(request: AdmissionRequest): void {
    const { user, kind, name, namespace, object, live } = request;
    // What an aggregated role will hold is not known yet, so its author must hold everything.
    const wanted = aggregates(object) ? everything : rulesIn(object);
    if (live && sameJson(rulesIn(live), rulesIn(object)) && sameJson(aggregates(live), aggregates(object)))
      return;
    if (rbac.allows(user, { verb: 'escalate', group, resource: kind.plural, name, namespace })) return;
    assertHeld(request, wanted);
  }

  function judgeBinding(request: AdmissionRequest): void {
    const { user, kind, name, namespace, object, live } = request;
    const ref = roleRefOf(object);
    if (live && !sameJson(roleRefOf(live), ref))
      throw invalid(kind, name, [
        {
          field: 'roleRef',
          reason: 'FieldValueInvalid',
          message: `Invalid value: ${JSON.stringify(ref)}: cannot change roleRef`,
        },
      ]);
    // Owners and finalizers may be written by who could not make the binding.
    if (!ref || (live && sameJson(subjectsIn(live), subjectsIn(object)))) return;
    const resource = ref.kind === 'ClusterRole' ? 'clusterroles' : 'roles';
    if (rbac.allows(user, { verb: 'bind', group, resource, name: ref.name, namespace })) return;
    const rules = rbac.rulesOfRole(ref, namespace);
    if (!rules) throw forbidden(kind, name, `the role "${ref.name}" that it refers to does not exist`);
    assertHeld(request, rules);
  }

  return {
    name: 'RbacEscalation',
    judge(request) {
      const { kind, user } = request;
      if (kind.group !== group || user.groups.includes(mastersGroup)) return;
      if (kind.plural === 'roles' || kind.plural === 'clusterroles') judgeRole(request);
      else judgeBinding(request);
    },
  };
}

const everything: readonly PolicyRule[] = [
  { verbs: ['*'], apiGroups: ['*'], resources: ['*'] },
  { verbs: ['*'], nonResourceURLs: ['*'] },
];
const rulesIn = (object: ApiObject) => (object as { rules?: PolicyRule[] }).rules ?? [];
const aggregates = (object: ApiObject) => (object as { aggregationRule?: object }).aggregationRule;

const subjectsIn = (object: ApiObject) => (object as { subjects?: object[] }).subjects ?? [];

const roleRefOf = (object: ApiObject): RoleRef | undefined => (object as { roleRef?: RoleRef }).roleRef;

import type { ConfigMap, Secret, Service, ServicePort } from 'kubernetes-types/core/v1.js';
import type { Lease } from 'kubernetes-types/coordination/v1.js';
import type { PodDisruptionBudget } from 'kubernetes-types/policy/v1.js';
import type { PolicyRule, RoleBinding, Subject } from 'kubernetes-types/rbac/v1.js';
import type { PriorityClass } from 'kubernetes-types/scheduling/v1.js';
import type { FieldError } from '../../kind.ts';
import { fieldError } from '../field-error.ts';
import { sameJson } from '../../registry/json.ts';
import { isPort, oneOf, portOrName } from './container-rules.ts';
import { configKey, dnsLabel, dnsSubdomain, labelErrors, nameErrors } from './names.ts';
import { immutable, selectorErrors } from './workload-rules.ts';

const maxDataBytes = 1024 * 1024;
const immutableWords = 'field is immutable when `immutable` is set';
const tooLarge = (field: string): FieldError => ({
  field,
  reason: 'FieldValueTooLong',
  message: `Too long: may not be more than ${maxDataBytes} bytes`,
});

/** Objects that say of themselves that they stay as they are. */
function frozenErrors(
  next: Secret | ConfigMap,
  before: (Secret | ConfigMap) | undefined,
  fields: readonly string[],
): FieldError[] {
  if (!before?.immutable) return [];
  const part = (object: object, field: string) => (object as Record<string, unknown>)[field];
  return [
    ...(next.immutable ? [] : [fieldError.forbidden('immutable', immutableWords)]),
    ...fields
      .filter((field) => !sameJson(part(next, field) ?? {}, part(before, field) ?? {}))
      .map((field) => fieldError.forbidden(field, immutableWords)),
  ];
}

// The keys that secrets of a type must have.
const secretKeys: Readonly<Record<string, readonly string[]>> = {
  'kubernetes.io/dockerconfigjson': ['.dockerconfigjson'],
  'kubernetes.io/dockercfg': ['.dockercfg'],
  'kubernetes.io/ssh-auth': ['ssh-privatekey'],
  'kubernetes.io/tls': ['tls.crt', 'tls.key'],
};

function secret(next: Secret, before: Secret | undefined): FieldError[] {
  const data = next.data ?? {};
  const errors = Object.keys(data).flatMap((key) => nameErrors(`data[${key}]`, key, configKey));
  const bytes = Object.values(data).reduce((sum, value) => sum + Math.floor((value.length * 3) / 4), 0);
  if (bytes > maxDataBytes) errors.push(tooLarge('data'));
  for (const key of secretKeys[next.type ?? ''] ?? [])
    if (data[key] === undefined) errors.push(fieldError.required(`data[${key}]`));
  if (next.type === 'kubernetes.io/basic-auth' && !data['username'] && !data['password'])
    errors.push(fieldError.required('data[username]'), fieldError.required('data[password]'));
  const account = next.metadata?.annotations?.['kubernetes.io/service-account.name'];
  if (next.type === 'kubernetes.io/service-account-token' && !account)
    errors.push(fieldError.required('metadata.annotations[kubernetes.io/service-account.name]'));
  if (!before) return errors;
  return [...errors, ...immutable('type', next.type, before.type), ...frozenErrors(next, before, ['data'])];
}

function configMap(next: ConfigMap, before: ConfigMap | undefined): FieldError[] {
  const { data = {}, binaryData = {} } = next;
  const errors = Object.entries({ data, binaryData }).flatMap(([part, values]) =>
    Object.keys(values).flatMap((key) => nameErrors(`${part}[${key}]`, key, configKey)),
  );
  for (const key of Object.keys(binaryData))
    if (Object.hasOwn(data, key))
      errors.push(fieldError.invalid(`binaryData[${key}]`, key, 'duplicate of key present in data'));
  const bytes = [...Object.values(data), ...Object.values(binaryData)];
  if (bytes.reduce((sum, value) => sum + Buffer.byteLength(value), 0) > maxDataBytes)
    errors.push(tooLarge(''));
  return [...errors, ...frozenErrors(next, before, ['data', 'binaryData'])];
}

function servicePortErrors(ports: readonly ServicePort[], type: string | undefined): FieldError[] {
  const names = new Set<string>();
  const numbers = new Set<string>();
  return ports.flatMap((port, i) => {
    const field = `spec.ports[${i}]`;
    const errors: FieldError[] = [];
    if (port.name) {
      errors.push(...nameErrors(`${field}.name`, port.name, dnsLabel));
      if (names.has(port.name)) errors.push(fieldError.duplicate(`${field}.name`, port.name));
      names.add(port.name);
    } else if (ports.length > 1) errors.push(fieldError.required(`${field}.name`));
    if (!isPort(port.port))
      errors.push(fieldError.invalid(`${field}.port`, port.port, 'must be between 1 and 65535, inclusive'));
    const number = `${port.protocol}/${port.port}`;
    if (numbers.has(number))
      errors.push(fieldError.duplicate(field, { port: port.port, protocol: port.protocol }));
    numbers.add(number);
    errors.push(...oneOf(`${field}.protocol`, port.protocol, ['SCTP', 'TCP', 'UDP']));
    if (port.targetPort) errors.push(...portOrName(port.targetPort, `${field}.targetPort`));
    if (port.nodePort && type === 'ClusterIP')
      errors.push(fieldError.forbidden(`${field}.nodePort`, "may not be used when `type` is 'ClusterIP'"));
    return errors;
  });
}

function service({ spec }: Service): FieldError[] {
  if (!spec) return [fieldError.required('spec')];
  const { type, ports = [], clusterIP } = spec;
  const errors = [
    ...servicePortErrors(ports, type),
    ...labelErrors(spec.selector, 'spec.selector'),
    ...oneOf('spec.type', type, ['ClusterIP', 'ExternalName', 'LoadBalancer', 'NodePort']),
    ...oneOf('spec.sessionAffinity', spec.sessionAffinity, ['ClientIP', 'None']),
    ...oneOf('spec.internalTrafficPolicy', spec.internalTrafficPolicy, ['Cluster', 'Local']),
  ];
  if (ports.length === 0 && clusterIP !== 'None' && type !== 'ExternalName')
    errors.push(fieldError.required('spec.ports'));
  if (clusterIP === 'None' && (type === 'NodePort' || type === 'LoadBalancer'))
    errors.push(
      fieldError.invalid('spec.clusterIPs[0]', 'None', `may not be set to 'None' for ${type} services`),
    );
  if (type === 'ExternalName') {
    if (!spec.externalName) errors.push(fieldError.required('spec.externalName'));
    else errors.push(...nameErrors('spec.externalName', spec.externalName.replace(/\.$/, ''), dnsSubdomain));
  }
  return errors;
}

const rbacGroup = 'rbac.authorization.k8s.io';

function subjectErrors(subject: Subject, field: string): FieldError[] {
  const errors = subject.name ? [] : [fieldError.required(`${field}.name`)];
  if (subject.kind === 'ServiceAccount') {
    if (subject.apiGroup) errors.push(fieldError.unsupported(`${field}.apiGroup`, subject.apiGroup, ['']));
    if (!subject.namespace) errors.push(fieldError.required(`${field}.namespace`));
    if (subject.name) errors.push(...nameErrors(`${field}.name`, subject.name, dnsSubdomain));
    return errors;
  }
  if (subject.kind !== 'User' && subject.kind !== 'Group')
    return [
      ...errors,
      fieldError.unsupported(`${field}.kind`, subject.kind, ['ServiceAccount', 'User', 'Group']),
    ];
  return [...errors, ...oneOf(`${field}.apiGroup`, subject.apiGroup, [rbacGroup])];
}

const binding =
  (kinds: readonly string[]) =>
  ({ roleRef, subjects = [] }: RoleBinding, before: RoleBinding | undefined): FieldError[] => [
    ...oneOf('roleRef.apiGroup', roleRef.apiGroup, [rbacGroup]),
    ...oneOf('roleRef.kind', roleRef.kind, kinds),
    ...(roleRef.name ? [] : [fieldError.required('roleRef.name')]),
    ...subjects.flatMap((subject, i) => subjectErrors(subject, `subjects[${i}]`)),
    ...(before && !sameJson(roleRef, before.roleRef)
      ? [fieldError.invalid('roleRef', roleRef, 'cannot change roleRef')]
      : []),
  ];

function ruleErrors(rule: PolicyRule, field: string, namespaced: boolean): FieldError[] {
  const errors = rule.verbs?.length
    ? []
    : [fieldError.required(`${field}.verbs`, 'verbs must contain at least one value')];
  if (rule.nonResourceURLs?.length) {
    if (namespaced)
      errors.push(
        fieldError.invalid(
          `${field}.nonResourceURLs`,
          rule.nonResourceURLs,
          'namespaced rules cannot apply to non-resource URLs',
        ),
      );
    if (rule.apiGroups?.length || rule.resources?.length || rule.resourceNames?.length)
      errors.push(
        fieldError.invalid(
          `${field}.nonResourceURLs`,
          rule.nonResourceURLs,
          'rules cannot apply to both regular resources and non-resource URLs',
        ),
      );
    return errors;
  }
  if (!rule.apiGroups?.length)
    errors.push(
      fieldError.required(`${field}.apiGroups`, 'resource rules must supply at least one api group'),
    );
  if (!rule.resources?.length)
    errors.push(
      fieldError.required(`${field}.resources`, 'resource rules must supply at least one resource'),
    );
  return errors;
}

const role =
  (namespaced: boolean) =>
  ({ rules = [] }: { rules?: readonly PolicyRule[] }): FieldError[] =>
    rules.flatMap((rule, i) => ruleErrors(rule, `rules[${i}]`, namespaced));

function lease({ spec }: Lease): FieldError[] {
  const { leaseDurationSeconds: seconds, leaseTransitions: transitions } = spec ?? {};
  const errors: FieldError[] = [];
  if (seconds !== undefined && seconds <= 0)
    errors.push(fieldError.invalid('spec.leaseDurationSeconds', seconds, 'must be greater than 0'));
  if (transitions !== undefined && transitions < 0)
    errors.push(
      fieldError.invalid('spec.leaseTransitions', transitions, 'must be greater than or equal to 0'),
    );
  return errors;
}

function budget({ spec }: PodDisruptionBudget): FieldError[] {
  const both = spec?.minAvailable !== undefined && spec.maxUnavailable !== undefined;
  return [
    ...(both ? [fieldError.invalid('spec', spec, 'minAvailable and maxUnavailable cannot be both set')] : []),
    ...selectorErrors(spec?.selector, 'spec.selector'),
  ];
}

const maxUserPriority = 1_000_000_000;

function priorityClass(next: PriorityClass, before: PriorityClass | undefined): FieldError[] {
  const errors = oneOf('preemptionPolicy', next.preemptionPolicy, ['PreemptLowerPriority', 'Never']);
  const system = next.metadata?.name?.startsWith('system-') ?? false;
  if (!system && next.value > maxUserPriority)
    errors.push(
      fieldError.forbidden('value', `maximum allowed value of a user defined priority is ${maxUserPriority}`),
    );
  if (before && (next.value ?? 0) !== (before.value ?? 0))
    errors.push(fieldError.forbidden('value', 'may not be changed in an update.'));
  return errors;
}

export const objectRules = {
  Secret: secret,
  ConfigMap: configMap,
  Service: service,
  RoleBinding: binding(['Role', 'ClusterRole']),
  ClusterRoleBinding: binding(['ClusterRole']),
  Role: role(true),
  ClusterRole: role(false),
  Lease: lease,
  PodDisruptionBudget: budget,
  PriorityClass: priorityClass,
};

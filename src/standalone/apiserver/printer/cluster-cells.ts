import type {
  ConfigMap,
  Namespace,
  Node,
  ResourceQuota,
  Secret,
  ServiceAccount,
} from 'kubernetes-types/core/v1.js';
import type { Lease } from 'kubernetes-types/coordination/v1.js';
import type { RuntimeClass } from 'kubernetes-types/node/v1.js';
import type { PodDisruptionBudget } from 'kubernetes-types/policy/v1.js';
import type { PriorityClass } from 'kubernetes-types/scheduling/v1.js';
import type { KubeObject } from '../../../api/resource.ts';
import { ageOf } from './age.ts';
import { nameOf, none, printer, unknown, type BuiltinPrinter } from './builtin-printer.ts';

const ageCell = (object: KubeObject, nowMs: number) => ageOf(object.metadata?.creationTimestamp, nowMs);
const countKeys = (...maps: (object | undefined)[]) =>
  maps.reduce<number>((sum, map) => sum + Object.keys(map ?? {}).length, 0);

function nodeStatus({ spec, status }: Node): string {
  const ready = status?.conditions?.find(({ type }) => type === 'Ready');
  const state = ready ? (ready.status === 'True' ? 'Ready' : 'NotReady') : 'Unknown';
  return spec?.unschedulable ? `${state},SchedulingDisabled` : state;
}

const rolePrefix = 'node-role.kubernetes.io/';

function nodeRoles({ metadata }: Node): string {
  const roles = Object.entries(metadata?.labels ?? {}).flatMap(([key, value]) => {
    if (key.startsWith(rolePrefix)) return [key.slice(rolePrefix.length)];
    return key === 'kubernetes.io/role' && value !== '' ? [value] : [];
  });
  const named = [...new Set(roles)].filter((role) => role !== '').toSorted();
  return named.length > 0 ? named.join(',') : none;
}

function node(found: Node, nowMs: number) {
  const { nodeInfo, addresses } = found.status ?? {};
  const address = (type: string) => addresses?.find((one) => one.type === type)?.address ?? none;
  return [
    nameOf(found),
    nodeStatus(found),
    nodeRoles(found),
    ageCell(found, nowMs),
    nodeInfo?.kubeletVersion,
    address('InternalIP'),
    address('ExternalIP'),
    nodeInfo?.osImage || unknown,
    nodeInfo?.kernelVersion || unknown,
    nodeInfo?.containerRuntimeVersion || unknown,
  ];
}

function quota(found: ResourceQuota, nowMs: number) {
  const { hard = {}, used = {} } = found.status ?? {};
  const shown = (limits: boolean) =>
    Object.keys(hard)
      .filter((name) => name.startsWith('limits.') === limits)
      .toSorted()
      .map((name) => `${name}: ${used[name] ?? '0'}/${hard[name]}`)
      .join(', ');
  return [nameOf(found), shown(false), shown(true), ageCell(found, nowMs)];
}

const createdAt = printer<KubeObject>('Name,Created At', (object) => [
  nameOf(object),
  object.metadata?.creationTimestamp as string | undefined,
]);

export const clusterPrinters: Readonly<Record<string, BuiltinPrinter>> = {
  Node: printer(
    'Name,Status,Roles,Age,Version,Internal-IP*,External-IP*,OS-Image*,Kernel-Version*,Container-Runtime*',
    node,
  ),
  Namespace: printer<Namespace>('Name,Status,Age', (found, nowMs) => [
    nameOf(found),
    found.status?.phase,
    ageCell(found, nowMs),
  ]),
  Secret: printer<Secret>('Name,Type,Data,Age', (secret, nowMs) => [
    nameOf(secret),
    secret.type,
    countKeys(secret.data),
    ageCell(secret, nowMs),
  ]),
  ConfigMap: printer<ConfigMap>('Name,Data,Age', (config, nowMs) => [
    nameOf(config),
    countKeys(config.data, config.binaryData),
    ageCell(config, nowMs),
  ]),
  ServiceAccount: printer<ServiceAccount>('Name,Secrets,Age', (account, nowMs) => [
    nameOf(account),
    account.secrets?.length ?? 0,
    ageCell(account, nowMs),
  ]),
  Lease: printer<Lease>('Name,Holder,Age', (lease, nowMs) => [
    nameOf(lease),
    lease.spec?.holderIdentity,
    ageCell(lease, nowMs),
  ]),
  ResourceQuota: printer('Name,Request,Limit,Age', quota),
  LimitRange: createdAt,
  CustomResourceDefinition: createdAt,
  Role: createdAt,
  ClusterRole: createdAt,
  PriorityClass: printer<PriorityClass>('Name,Value,Global-Default,Age,PreemptionPolicy', (found, nowMs) => [
    nameOf(found),
    found.value,
    found.globalDefault ?? false,
    ageCell(found, nowMs),
    found.preemptionPolicy ?? 'PreemptLowerPriority',
  ]),
  RuntimeClass: printer<RuntimeClass>('Name,Handler,Age', (found, nowMs) => [
    nameOf(found),
    found.handler,
    ageCell(found, nowMs),
  ]),
  PodDisruptionBudget: printer<PodDisruptionBudget>(
    'Name,Min Available,Max Unavailable,Allowed Disruptions,Age',
    (budget, nowMs) => [
      nameOf(budget),
      String(budget.spec?.minAvailable ?? 'N/A'),
      String(budget.spec?.maxUnavailable ?? 'N/A'),
      budget.status?.disruptionsAllowed ?? 0,
      ageCell(budget, nowMs),
    ],
  ),
};

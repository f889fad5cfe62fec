import { serviceRange } from './admission/cluster-ip.ts';
import { permanentNamespaces } from './admission/namespace-lifecycle.ts';
import { mastersGroup } from './auth/access.ts';
import { bootstrapRoles } from './auth/bootstrap-roles.ts';
import type { JsonObject } from './kind.ts';
import { createObject } from './registry/create.ts';
import type { Caller, RegistryDeps } from './registry/request.ts';
import { updateObject } from './registry/update.ts';
import { isApiError } from './status.ts';

const options = { dryRun: false, fieldManager: 'holdfast-apiserver', fieldValidation: 'Ignore' as const };

/** The server itself, as the author of what it makes. */
export const ownCaller = (signal: AbortSignal): Caller => ({
  user: { name: 'system:apiserver', groups: [mastersGroup] },
  signal,
  warn: () => undefined,
});

/** Makes an object; one that is there is left (`keep`) or set back to what it should be (`reset`). */
async function ensure(
  deps: RegistryDeps,
  apiVersion: string,
  kindName: string,
  object: JsonObject,
  existing: 'keep' | 'reset',
  signal: AbortSignal,
): Promise<void> {
  const kind = deps.kinds.byKind(apiVersion, kindName);
  if (!kind) throw new Error(`the API has no kind ${kindName} in ${apiVersion}`);
  const { namespace, name } = object['metadata'] as { namespace?: string; name: string };
  try {
    await createObject(deps, kind, namespace, object, options, ownCaller(signal));
  } catch (error) {
    if (!isApiError(error, 'AlreadyExists')) throw error;
    if (existing === 'reset')
      await updateObject(deps, kind, namespace, name, '', object, options, ownCaller(signal));
  }
}

const priorityClass = (name: string, value: number, description: string): JsonObject => ({
  metadata: { name },
  value,
  description,
});

const systemClasses = [
  priorityClass('system-cluster-critical', 2_000_000_000, 'Pods that the cluster cannot do without.'),
  priorityClass('system-node-critical', 2_000_001_000, 'Pods that must not be moved from their node.'),
];

export interface Advertised {
  /** Where pods reach this server, behind the Service `default/kubernetes`. */
  readonly host: string;
  readonly port: number;
}

function ownService(
  serviceCidr: string,
  { host, port }: Advertised,
): (readonly [string, string, JsonObject])[] {
  const metadata = { name: 'kubernetes', namespace: 'default' };
  const clusterIP = serviceRange(serviceCidr).first;
  return [
    [
      'v1',
      'Service',
      {
        metadata: { ...metadata, labels: { component: 'apiserver', provider: 'kubernetes' } },
        spec: {
          type: 'ClusterIP',
          clusterIP,
          clusterIPs: [clusterIP],
          ports: [{ name: 'https', port: 443, protocol: 'TCP', targetPort: port }],
        },
      },
    ],
    [
      'v1',
      'Endpoints',
      {
        metadata: { ...metadata, labels: { 'endpointslice.kubernetes.io/skip-mirror': 'true' } },
        subsets: [{ addresses: [{ ip: host }], ports: [{ name: 'https', port, protocol: 'TCP' }] }],
      },
    ],
    [
      'discovery.k8s.io/v1',
      'EndpointSlice',
      {
        metadata: { ...metadata, labels: { 'kubernetes.io/service-name': 'kubernetes' } },
        addressType: 'IPv4',
        endpoints: [{ addresses: [host], conditions: { ready: true } }],
        ports: [{ name: 'https', port, protocol: 'TCP' }],
      },
    ],
  ];
}

/** What every cluster has from its first moment. Idempotent; run at each start. */
export async function bootstrap(
  deps: RegistryDeps,
  network: { readonly serviceCidr: string; readonly advertise: Advertised },
  signal: AbortSignal,
): Promise<void> {
  await Promise.all(
    permanentNamespaces.map((name) =>
      ensure(deps, 'v1', 'Namespace', { metadata: { name } }, 'keep', signal),
    ),
  );
  await deps.cache.fresh(signal);
  await Promise.all([
    ...bootstrapRoles().map(({ kind, object }) =>
      ensure(deps, 'rbac.authorization.k8s.io/v1', kind, object, 'reset', signal),
    ),
    ...systemClasses.map((object) =>
      ensure(deps, 'scheduling.k8s.io/v1', 'PriorityClass', object, 'keep', signal),
    ),
    ...ownService(network.serviceCidr, network.advertise).map(([apiVersion, kind, object]) =>
      ensure(deps, apiVersion, kind, object, 'reset', signal),
    ),
  ]);
  await deps.cache.fresh(signal);
}

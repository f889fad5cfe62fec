import type { PolicyRule } from 'kubernetes-types/rbac/v1.js';
import type { JsonObject } from '../kind.ts';

const read = ['get', 'list', 'watch'];
const write = ['create', 'delete', 'deletecollection', 'patch', 'update'];
const rule = (apiGroups: string[], resources: string[], verbs: string[]): PolicyRule => ({
  apiGroups,
  resources,
  verbs,
});

const plainContent: PolicyRule[] = [
  rule(
    [''],
    [
      'pods',
      'pods/log',
      'pods/status',
      'configmaps',
      'endpoints',
      'events',
      'persistentvolumeclaims',
      'persistentvolumeclaims/status',
      'replicationcontrollers',
      'services',
      'services/status',
      'serviceaccounts',
      'limitranges',
      'resourcequotas',
      'namespaces',
      'namespaces/status',
    ],
    read,
  ),
  rule(
    ['apps'],
    [
      'controllerrevisions',
      'daemonsets',
      'daemonsets/status',
      'deployments',
      'deployments/scale',
      'deployments/status',
      'replicasets',
      'replicasets/scale',
      'replicasets/status',
      'statefulsets',
      'statefulsets/scale',
      'statefulsets/status',
    ],
    read,
  ),
  rule(['batch'], ['cronjobs', 'cronjobs/status', 'jobs', 'jobs/status'], read),
  rule(['networking.k8s.io'], ['ingresses', 'ingresses/status', 'networkpolicies'], read),
  rule(['policy'], ['poddisruptionbudgets', 'poddisruptionbudgets/status'], read),
  rule(['discovery.k8s.io'], ['endpointslices'], read),
];

const editing: PolicyRule[] = [
  rule([''], ['secrets'], read),
  rule([''], ['pods/attach', 'pods/exec', 'pods/portforward'], ['get', 'create']),
  rule([''], ['pods/eviction', 'serviceaccounts/token'], ['create']),
  rule(
    [''],
    [
      'pods',
      'configmaps',
      'persistentvolumeclaims',
      'secrets',
      'serviceaccounts',
      'services',
      'endpoints',
      'events',
    ],
    write,
  ),
  rule([''], ['serviceaccounts'], ['impersonate']),
  rule(
    ['apps'],
    [
      'daemonsets',
      'deployments',
      'deployments/scale',
      'replicasets',
      'replicasets/scale',
      'statefulsets',
      'statefulsets/scale',
    ],
    write,
  ),
  rule(['batch'], ['cronjobs', 'jobs'], write),
  rule(['networking.k8s.io'], ['ingresses', 'networkpolicies'], write),
  rule(['policy'], ['poddisruptionbudgets'], write),
  rule(['coordination.k8s.io'], ['leases'], [...read, ...write]),
];

const administering: PolicyRule[] = [
  rule(['rbac.authorization.k8s.io'], ['roles', 'rolebindings'], [...read, ...write]),
  rule(['authorization.k8s.io'], ['localsubjectaccessreviews'], ['create']),
];

const node: PolicyRule[] = [
  rule([''], ['nodes'], [...read, 'create', 'patch', 'update']),
  rule([''], ['nodes/status', 'pods/status'], ['patch', 'update']),
  rule([''], ['pods'], [...read, 'create', 'delete']),
  rule([''], ['pods/eviction', 'serviceaccounts/token'], ['create']),
  rule([''], ['configmaps', 'secrets', 'services', 'endpoints', 'namespaces', 'serviceaccounts'], read),
  rule([''], ['persistentvolumes', 'persistentvolumeclaims'], read),
  rule([''], ['persistentvolumeclaims/status'], ['get', 'patch', 'update']),
  rule(['', 'events.k8s.io'], ['events'], ['create', 'patch', 'update']),
  rule(['coordination.k8s.io'], ['leases'], ['get', 'create', 'patch', 'update', 'delete']),
  rule(['discovery.k8s.io'], ['endpointslices'], read),
  rule(['storage.k8s.io'], ['csidrivers', 'volumeattachments', 'storageclasses'], read),
  rule(['storage.k8s.io'], ['csinodes'], [...read, 'create', 'delete', 'patch', 'update']),
  rule(['node.k8s.io'], ['runtimeclasses'], read),
  rule(['authentication.k8s.io'], ['tokenreviews'], ['create']),
  rule(['authorization.k8s.io'], ['subjectaccessreviews'], ['create']),
];

// Controllers own, collect and empty everything, kinds of CRDs included; what they make is listed.
const controllers: PolicyRule[] = [
  rule(['*'], ['*'], [...read, 'delete', 'deletecollection', 'patch', 'update']),
  rule(
    [''],
    [
      'configmaps',
      'endpoints',
      'events',
      'namespaces',
      'persistentvolumeclaims',
      'persistentvolumes',
      'pods',
      'pods/binding',
      'bindings',
      'pods/eviction',
      'secrets',
      'serviceaccounts',
      'serviceaccounts/token',
    ],
    ['create'],
  ),
  rule(['apps'], ['controllerrevisions', 'replicasets'], ['create']),
  rule(['batch'], ['jobs'], ['create']),
  rule(['coordination.k8s.io'], ['leases'], ['create']),
  rule(['discovery.k8s.io'], ['endpointslices'], ['create']),
  rule(['events.k8s.io'], ['events'], ['create']),
  rule(['storage.k8s.io'], ['volumeattachments'], ['create']),
  rule(['authentication.k8s.io'], ['tokenreviews'], ['create']),
  rule(['authorization.k8s.io'], ['subjectaccessreviews'], ['create']),
  // Aggregated roles take up rules that the controllers themselves do not hold.
  rule(['rbac.authorization.k8s.io'], ['clusterroles'], ['escalate']),
  { nonResourceURLs: ['*'], verbs: ['get'] },
];

const paths = (nonResourceURLs: string[]): PolicyRule => ({ nonResourceURLs, verbs: ['get'] });

const roles: Readonly<Record<string, readonly PolicyRule[]>> = {
  'cluster-admin': [rule(['*'], ['*'], ['*']), { nonResourceURLs: ['*'], verbs: ['*'] }],
  admin: [...plainContent, ...editing, ...administering],
  edit: [...plainContent, ...editing],
  view: plainContent,
  'system:aggregate-to-admin': administering,
  'system:aggregate-to-edit': editing,
  'system:aggregate-to-view': plainContent,
  'system:discovery': [
    paths([
      '/api',
      '/api/*',
      '/apis',
      '/apis/*',
      '/healthz',
      '/livez',
      '/openapi',
      '/openapi/*',
      '/readyz',
      '/version',
      '/version/',
    ]),
  ],
  'system:public-info-viewer': [
    paths(['/healthz', '/healthz/*', '/livez', '/livez/*', '/readyz', '/readyz/*', '/version', '/version/']),
  ],
  'system:monitoring': [
    paths(['/healthz', '/healthz/*', '/livez', '/livez/*', '/metrics', '/readyz', '/readyz/*']),
  ],
  'system:basic-user': [
    rule(['authorization.k8s.io'], ['selfsubjectaccessreviews', 'selfsubjectrulesreviews'], ['create']),
    rule(['authentication.k8s.io'], ['selfsubjectreviews'], ['create']),
  ],
  'system:auth-delegator': [
    rule(['authentication.k8s.io'], ['tokenreviews'], ['create']),
    rule(['authorization.k8s.io'], ['subjectaccessreviews'], ['create']),
  ],
  'system:node': node,
  'system:kube-controller-manager': controllers,
  'system:kube-scheduler': [
    rule(
      [''],
      ['nodes', 'pods', 'persistentvolumes', 'persistentvolumeclaims', 'namespaces', 'services'],
      read,
    ),
    rule([''], ['bindings', 'pods/binding'], ['create']),
    rule([''], ['pods'], ['delete']),
    rule([''], ['pods/status', 'persistentvolumeclaims'], ['patch', 'update']),
    rule(['', 'events.k8s.io'], ['events'], ['create', 'patch', 'update']),
    rule(['coordination.k8s.io'], ['leases'], ['create', 'get', 'list', 'update', 'watch']),
    rule(
      ['storage.k8s.io'],
      ['csidrivers', 'csinodes', 'csistoragecapacities', 'storageclasses', 'volumeattachments'],
      read,
    ),
    rule(['policy'], ['poddisruptionbudgets'], read),
  ],
};

const bindings: readonly (readonly [name: string, role: string, kind: 'User' | 'Group', subject: string])[] =
  [
    ['cluster-admin', 'cluster-admin', 'Group', 'system:masters'],
    ['system:discovery', 'system:discovery', 'Group', 'system:authenticated'],
    ['system:basic-user', 'system:basic-user', 'Group', 'system:authenticated'],
    ['system:public-info-viewer', 'system:public-info-viewer', 'Group', 'system:authenticated'],
    ['system:public-info-viewer:anonymous', 'system:public-info-viewer', 'Group', 'system:unauthenticated'],
    ['system:monitoring', 'system:monitoring', 'Group', 'system:monitoring'],
    ['system:node', 'system:node', 'Group', 'system:nodes'],
    [
      'system:kube-controller-manager',
      'system:kube-controller-manager',
      'User',
      'system:kube-controller-manager',
    ],
    ['system:kube-scheduler', 'system:kube-scheduler', 'User', 'system:kube-scheduler'],
  ];

const group = 'rbac.authorization.k8s.io';
// Operators add rules about their own kinds to these, by a label on their ClusterRoles.
const aggregated = new Set(['admin', 'edit', 'view']);
const aggregateTo = (name: string) => `${group}/aggregate-to-${name}`;
const aggregating = (name: string): JsonObject => ({
  clusterRoleSelectors: [{ matchLabels: { [aggregateTo(name)]: 'true' } }],
});
/** Which aggregated role takes up each: whoever may edit may view, and an admin may do both. */
const takenUpBy: Readonly<Record<string, string>> = {
  edit: 'admin',
  view: 'edit',
  'system:aggregate-to-admin': 'admin',
  'system:aggregate-to-edit': 'edit',
  'system:aggregate-to-view': 'view',
};
const labels = { 'kubernetes.io/bootstrapping': 'rbac-defaults' };
const labelsOf = (name: string) => {
  const taker = takenUpBy[name];
  return taker === undefined ? labels : { ...labels, [aggregateTo(taker)]: 'true' };
};

/** The roles and bindings that a fresh cluster has: as Kubernetes names them, as narrow as our parts allow. */
export function bootstrapRoles(): { readonly kind: string; readonly object: JsonObject }[] {
  return [
    ...Object.entries(roles).map(([name, rules]) => ({
      kind: 'ClusterRole',
      object: {
        metadata: { name, labels: labelsOf(name) },
        rules: rules as unknown as JsonObject[],
        ...(aggregated.has(name) ? { aggregationRule: aggregating(name) } : {}),
      },
    })),
    ...bindings.map(([name, role, kind, subject]) => ({
      kind: 'ClusterRoleBinding',
      object: {
        metadata: { name, labels },
        roleRef: { apiGroup: group, kind: 'ClusterRole', name: role },
        subjects: [{ apiGroup: group, kind, name: subject }],
      },
    })),
  ];
}

import type { KindInfo, PrinterColumn, ScalePaths } from '../kind.ts';
import { columnsOf } from '../printer/builtin-columns.ts';
import { builtinSchema } from './builtin-schemas.ts';

const allVerbs = ['create', 'delete', 'deletecollection', 'get', 'list', 'patch', 'update', 'watch'];
const replicas: ScalePaths = {
  specReplicasPath: '.spec.replicas',
  statusReplicasPath: '.status.replicas',
  labelSelectorPath: '.status.selector',
};

interface Row {
  readonly short?: string;
  readonly cluster?: boolean;
  readonly status?: boolean;
  readonly statusOnCreate?: boolean;
  readonly scale?: boolean;
  readonly all?: boolean;
  /** Field selectors, parted by spaces. */
  readonly fields?: string;
  /** The object has a spec whose changes are counted. */
  readonly generation?: boolean;
  /** Only these; all verbs where it is absent. */
  readonly verbs?: readonly string[];
}

const review: Row = { cluster: true, verbs: ['create'] };
const coreEvents =
  'involvedObject.kind involvedObject.namespace involvedObject.name involvedObject.uid involvedObject.apiVersion involvedObject.resourceVersion involvedObject.fieldPath reason reportingComponent source type';
const newEvents =
  'regarding.kind regarding.namespace regarding.name regarding.uid regarding.apiVersion regarding.resourceVersion regarding.fieldPath reason reportingController type';

/** `group/version Kind plural`, then what is not as usual: namespaced, all verbs, no status, no generation. */
const table: readonly (readonly [string, string, string, Row])[] = [
  [
    'v1',
    'Pod',
    'pods',
    {
      short: 'po',
      status: true,
      all: true,
      generation: true,
      fields:
        'spec.nodeName spec.restartPolicy spec.schedulerName spec.serviceAccountName spec.hostNetwork status.phase status.podIP status.nominatedNodeName',
    },
  ],
  [
    'v1',
    'Node',
    'nodes',
    { short: 'no', cluster: true, status: true, statusOnCreate: true, fields: 'spec.unschedulable' },
  ],
  ['v1', 'Namespace', 'namespaces', { short: 'ns', cluster: true, status: true, fields: 'status.phase' }],
  [
    'v1',
    'Service',
    'services',
    { short: 'svc', status: true, all: true, fields: 'spec.clusterIP spec.type' },
  ],
  ['v1', 'Endpoints', 'endpoints', { short: 'ep' }],
  ['v1', 'Secret', 'secrets', { fields: 'type' }],
  ['v1', 'ConfigMap', 'configmaps', { short: 'cm' }],
  ['v1', 'ServiceAccount', 'serviceaccounts', { short: 'sa' }],
  ['v1', 'Event', 'events', { short: 'ev', fields: coreEvents }],
  ['v1', 'PersistentVolume', 'persistentvolumes', { short: 'pv', cluster: true, status: true }],
  ['v1', 'PersistentVolumeClaim', 'persistentvolumeclaims', { short: 'pvc', status: true }],
  ['v1', 'LimitRange', 'limitranges', { short: 'limits' }],
  ['v1', 'ResourceQuota', 'resourcequotas', { short: 'quota', status: true }],
  ['v1', 'PodTemplate', 'podtemplates', { generation: true }],
  [
    'v1',
    'ReplicationController',
    'replicationcontrollers',
    { short: 'rc', status: true, scale: true, all: true, generation: true, fields: 'status.replicas' },
  ],
  [
    'apps/v1',
    'Deployment',
    'deployments',
    { short: 'deploy', status: true, scale: true, all: true, generation: true },
  ],
  [
    'apps/v1',
    'ReplicaSet',
    'replicasets',
    { short: 'rs', status: true, scale: true, all: true, generation: true, fields: 'status.replicas' },
  ],
  ['apps/v1', 'DaemonSet', 'daemonsets', { short: 'ds', status: true, all: true, generation: true }],
  [
    'apps/v1',
    'StatefulSet',
    'statefulsets',
    { short: 'sts', status: true, scale: true, all: true, generation: true },
  ],
  ['apps/v1', 'ControllerRevision', 'controllerrevisions', {}],
  ['batch/v1', 'Job', 'jobs', { status: true, all: true, generation: true, fields: 'status.successful' }],
  ['batch/v1', 'CronJob', 'cronjobs', { short: 'cj', status: true, all: true, generation: true }],
  ['coordination.k8s.io/v1', 'Lease', 'leases', {}],
  ['discovery.k8s.io/v1', 'EndpointSlice', 'endpointslices', { generation: true }],
  ['events.k8s.io/v1', 'Event', 'events', { short: 'ev', fields: newEvents }],
  [
    'policy/v1',
    'PodDisruptionBudget',
    'poddisruptionbudgets',
    { short: 'pdb', status: true, generation: true },
  ],
  [
    'scheduling.k8s.io/v1',
    'PriorityClass',
    'priorityclasses',
    { short: 'pc', cluster: true, generation: true },
  ],
  ['rbac.authorization.k8s.io/v1', 'Role', 'roles', {}],
  ['rbac.authorization.k8s.io/v1', 'RoleBinding', 'rolebindings', {}],
  ['rbac.authorization.k8s.io/v1', 'ClusterRole', 'clusterroles', { cluster: true }],
  ['rbac.authorization.k8s.io/v1', 'ClusterRoleBinding', 'clusterrolebindings', { cluster: true }],
  ['storage.k8s.io/v1', 'StorageClass', 'storageclasses', { short: 'sc', cluster: true }],
  ['storage.k8s.io/v1', 'VolumeAttachment', 'volumeattachments', { cluster: true, status: true }],
  ['storage.k8s.io/v1', 'CSIDriver', 'csidrivers', { cluster: true }],
  ['storage.k8s.io/v1', 'CSINode', 'csinodes', { cluster: true }],
  ['storage.k8s.io/v1', 'CSIStorageCapacity', 'csistoragecapacities', {}],
  ['storage.k8s.io/v1', 'VolumeAttributesClass', 'volumeattributesclasses', { short: 'vac', cluster: true }],
  ['networking.k8s.io/v1', 'NetworkPolicy', 'networkpolicies', { short: 'netpol', generation: true }],
  ['networking.k8s.io/v1', 'Ingress', 'ingresses', { short: 'ing', status: true, generation: true }],
  ['networking.k8s.io/v1', 'IngressClass', 'ingressclasses', { cluster: true, generation: true }],
  ['node.k8s.io/v1', 'RuntimeClass', 'runtimeclasses', { cluster: true }],
  [
    'autoscaling/v2',
    'HorizontalPodAutoscaler',
    'horizontalpodautoscalers',
    { short: 'hpa', status: true, all: true },
  ],
  [
    'apiextensions.k8s.io/v1',
    'CustomResourceDefinition',
    'customresourcedefinitions',
    { short: 'crd crds', cluster: true, status: true, generation: true },
  ],
  ['authentication.k8s.io/v1', 'TokenReview', 'tokenreviews', review],
  ['authentication.k8s.io/v1', 'SelfSubjectReview', 'selfsubjectreviews', review],
  ['authorization.k8s.io/v1', 'SubjectAccessReview', 'subjectaccessreviews', review],
  ['authorization.k8s.io/v1', 'SelfSubjectAccessReview', 'selfsubjectaccessreviews', review],
  ['authorization.k8s.io/v1', 'SelfSubjectRulesReview', 'selfsubjectrulesreviews', review],
  ['authorization.k8s.io/v1', 'LocalSubjectAccessReview', 'localsubjectaccessreviews', { verbs: ['create'] }],
];

/** The folder of types that a group's types are in. */
export const typeFolders: Readonly<Record<string, string>> = {
  '': 'core',
  'rbac.authorization.k8s.io': 'rbac',
};

const folderOf = (group: string) => typeFolders[group] ?? group.replace(/\.k8s\.io$/, '');

/** All built-in kinds that are served as resources, in the order that discovery lists them. */
export function builtinKinds(): readonly KindInfo[] {
  return table.map(([groupVersion, kind, plural, row]): KindInfo => {
    const slash = groupVersion.indexOf('/');
    const group = slash < 0 ? '' : groupVersion.slice(0, slash);
    const version = groupVersion.slice(slash + 1);
    const columns: readonly PrinterColumn[] = columnsOf(group, kind);
    return {
      group,
      version,
      kind,
      listKind: `${kind}List`,
      plural,
      singular: kind.toLowerCase(),
      shortNames: row.short?.split(' ') ?? [],
      categories: row.all ? ['all'] : kind === 'CustomResourceDefinition' ? ['api-extensions'] : [],
      namespaced: !row.cluster,
      subresources: { status: row.status ?? false, ...(row.scale && { scale: replicas }) },
      schema: builtinSchema(`${folderOf(group)}/${version}.${kind}`),
      columns,
      builtin: true,
      verbs: row.verbs ?? allVerbs,
      selectableFields: row.fields?.split(' ') ?? [],
      hasGeneration: row.generation ?? false,
      statusOnCreate: row.statusOnCreate ?? false,
    };
  });
}

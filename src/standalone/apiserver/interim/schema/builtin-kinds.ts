import * as core from '../../../../api/core.ts';
import type { Resource } from '../../../../api/resource.ts';
import type { KindInfo } from '../../kind.ts';

const withStatus = new Set([
  'pods',
  'nodes',
  'namespaces',
  'services',
  'persistentvolumes',
  'persistentvolumeclaims',
  'deployments',
  'replicasets',
  'daemonsets',
  'statefulsets',
  'jobs',
  'poddisruptionbudgets',
  'volumeattachments',
  'customresourcedefinitions',
]);
const noGeneration = new Set([
  'configmaps',
  'secrets',
  'serviceaccounts',
  'events',
  'endpoints',
  'leases',
  'nodes',
  'namespaces',
]);
const verbs = ['create', 'delete', 'deletecollection', 'get', 'list', 'patch', 'update', 'watch'];
const short: Record<string, string[]> = {
  pods: ['po'],
  nodes: ['no'],
  namespaces: ['ns'],
  services: ['svc'],
  configmaps: ['cm'],
  deployments: ['deploy'],
  replicasets: ['rs'],
  daemonsets: ['ds'],
  statefulsets: ['sts'],
  persistentvolumes: ['pv'],
  persistentvolumeclaims: ['pvc'],
  storageclasses: ['sc'],
  serviceaccounts: ['sa'],
  customresourcedefinitions: ['crd', 'crds'],
  events: ['ev'],
  endpoints: ['ep'],
};
const fields: Record<string, string[]> = {
  pods: ['spec.nodeName', 'status.phase', 'spec.schedulerName', 'spec.serviceAccountName'],
  events: [
    'involvedObject.kind',
    'involvedObject.name',
    'involvedObject.namespace',
    'involvedObject.uid',
    'reason',
    'type',
  ],
  secrets: ['type'],
  namespaces: ['status.phase'],
};
const more: Resource[] = [
  ...(
    [
      ['', 'v1', 'LimitRange', 'limitranges'],
      ['', 'v1', 'ResourceQuota', 'resourcequotas'],
      ['', 'v1', 'PodTemplate', 'podtemplates'],
      ['', 'v1', 'ReplicationController', 'replicationcontrollers'],
      ['batch', 'v1', 'CronJob', 'cronjobs'],
      ['events.k8s.io', 'v1', 'Event', 'events'],
      ['networking.k8s.io', 'v1', 'NetworkPolicy', 'networkpolicies'],
      ['networking.k8s.io', 'v1', 'Ingress', 'ingresses'],
      ['storage.k8s.io', 'v1', 'CSIStorageCapacity', 'csistoragecapacities'],
    ] as const
  ).map(([group, version, kind, plural]) => ({ group, version, kind, plural, namespaced: true })),
  ...(
    [
      ['networking.k8s.io', 'v1', 'IngressClass', 'ingressclasses'],
      ['node.k8s.io', 'v1', 'RuntimeClass', 'runtimeclasses'],
      ['storage.k8s.io', 'v1', 'VolumeAttributesClass', 'volumeattributesclasses'],
    ] as const
  ).map(([group, version, kind, plural]) => ({ group, version, kind, plural, namespaced: false })),
];
const questions = (
  [
    ['', 'v1', 'Binding', 'bindings', true],
    ['authentication.k8s.io', 'v1', 'TokenReview', 'tokenreviews', false],
    ['authentication.k8s.io', 'v1', 'SelfSubjectReview', 'selfsubjectreviews', false],
    ['authorization.k8s.io', 'v1', 'SubjectAccessReview', 'subjectaccessreviews', false],
    ['authorization.k8s.io', 'v1', 'LocalSubjectAccessReview', 'localsubjectaccessreviews', true],
    ['authorization.k8s.io', 'v1', 'SelfSubjectAccessReview', 'selfsubjectaccessreviews', false],
    ['authorization.k8s.io', 'v1', 'SelfSubjectRulesReview', 'selfsubjectrulesreviews', false],
  ] as const
).map(([group, version, kind, plural, namespaced]) => ({ group, version, kind, plural, namespaced }));
const asked = new Set(questions.map(({ plural }) => plural as string));
export function builtinKinds(): readonly KindInfo[] {
  return ([...Object.values(core), ...more, ...questions] as Resource[]).map((r): KindInfo => ({
    group: r.group,
    version: r.version,
    kind: r.kind,
    listKind: `${r.kind}List`,
    plural: r.plural,
    singular: r.kind.toLowerCase(),
    shortNames: short[r.plural] ?? [],
    categories: [],
    namespaced: r.namespaced,
    subresources: {
      status: withStatus.has(r.plural),
      ...(['deployments', 'replicasets', 'statefulsets'].includes(r.plural)
        ? { scale: { specReplicasPath: '.spec.replicas', statusReplicasPath: '.status.replicas' } }
        : {}),
    },
    schema: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true },
    columns: [],
    builtin: true,
    verbs: asked.has(r.plural) ? ['create'] : verbs,
    selectableFields: fields[r.plural] ?? [],
    hasGeneration: !noGeneration.has(r.plural),
  }));
}

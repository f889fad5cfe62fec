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
export function builtinKinds(): readonly KindInfo[] {
  return (Object.values(core) as Resource[]).map((r): KindInfo => ({
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
    verbs,
    selectableFields: fields[r.plural] ?? [],
    hasGeneration: !noGeneration.has(r.plural),
  }));
}

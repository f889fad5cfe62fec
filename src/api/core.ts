import type {
  DaemonSet,
  Deployment,
  ReplicaSet,
  ControllerRevision,
  StatefulSet,
} from 'kubernetes-types/apps/v1.js';
import type { Job } from 'kubernetes-types/batch/v1.js';
import type { Lease } from 'kubernetes-types/coordination/v1.js';
import type {
  ConfigMap,
  Endpoints as EndpointsObject,
  Event,
  Namespace,
  Node,
  PersistentVolume,
  PersistentVolumeClaim,
  Pod,
  Secret,
  Service,
  ServiceAccount,
} from 'kubernetes-types/core/v1.js';
import type { EndpointSlice } from 'kubernetes-types/discovery/v1.js';
import type { PodDisruptionBudget } from 'kubernetes-types/policy/v1.js';
import type { ClusterRole, ClusterRoleBinding, Role } from 'kubernetes-types/rbac/v1.js';
import type { CSIDriver, CSINode, StorageClass, VolumeAttachment } from 'kubernetes-types/storage/v1.js';
import { resource, type KubeObject } from './resource.ts';

// Descriptors of the built-in kinds that Holdfast's own parts read or write.
export const Pods = resource<Pod>('', 'v1', 'Pod', 'pods');
export const Nodes = resource<Node>('', 'v1', 'Node', 'nodes', 'cluster');
export const Namespaces = resource<Namespace>('', 'v1', 'Namespace', 'namespaces', 'cluster');
export const Services = resource<Service>('', 'v1', 'Service', 'services');
export const Endpoints = resource<EndpointsObject>('', 'v1', 'Endpoints', 'endpoints');
export const Secrets = resource<Secret>('', 'v1', 'Secret', 'secrets');
export const ConfigMaps = resource<ConfigMap>('', 'v1', 'ConfigMap', 'configmaps');
export const ServiceAccounts = resource<ServiceAccount>('', 'v1', 'ServiceAccount', 'serviceaccounts');
export const Events = resource<Event>('', 'v1', 'Event', 'events');
export const PersistentVolumes = resource<PersistentVolume>(
  '',
  'v1',
  'PersistentVolume',
  'persistentvolumes',
  'cluster',
);
export const PersistentVolumeClaims = resource<PersistentVolumeClaim>(
  '',
  'v1',
  'PersistentVolumeClaim',
  'persistentvolumeclaims',
);
export const Deployments = resource<Deployment>('apps', 'v1', 'Deployment', 'deployments');
export const ReplicaSets = resource<ReplicaSet>('apps', 'v1', 'ReplicaSet', 'replicasets');
export const DaemonSets = resource<DaemonSet>('apps', 'v1', 'DaemonSet', 'daemonsets');
export const StatefulSets = resource<StatefulSet>('apps', 'v1', 'StatefulSet', 'statefulsets');
export const ControllerRevisions = resource<ControllerRevision>(
  'apps',
  'v1',
  'ControllerRevision',
  'controllerrevisions',
);
export const Jobs = resource<Job>('batch', 'v1', 'Job', 'jobs');
export const Leases = resource<Lease>('coordination.k8s.io', 'v1', 'Lease', 'leases');
export const EndpointSlices = resource<EndpointSlice>(
  'discovery.k8s.io',
  'v1',
  'EndpointSlice',
  'endpointslices',
);
export const PodDisruptionBudgets = resource<PodDisruptionBudget>(
  'policy',
  'v1',
  'PodDisruptionBudget',
  'poddisruptionbudgets',
);
export const Roles = resource<Role>('rbac.authorization.k8s.io', 'v1', 'Role', 'roles');
export const ClusterRoles = resource<ClusterRole>(
  'rbac.authorization.k8s.io',
  'v1',
  'ClusterRole',
  'clusterroles',
  'cluster',
);
export const ClusterRoleBindings = resource<ClusterRoleBinding>(
  'rbac.authorization.k8s.io',
  'v1',
  'ClusterRoleBinding',
  'clusterrolebindings',
  'cluster',
);
export const StorageClasses = resource<StorageClass>(
  'storage.k8s.io',
  'v1',
  'StorageClass',
  'storageclasses',
  'cluster',
);
export const VolumeAttachments = resource<VolumeAttachment>(
  'storage.k8s.io',
  'v1',
  'VolumeAttachment',
  'volumeattachments',
  'cluster',
);
export const CSIDrivers = resource<CSIDriver>('storage.k8s.io', 'v1', 'CSIDriver', 'csidrivers', 'cluster');
export const CSINodes = resource<CSINode>('storage.k8s.io', 'v1', 'CSINode', 'csinodes', 'cluster');
export const CustomResourceDefinitions = resource<KubeObject & { spec?: unknown; status?: unknown }>(
  'apiextensions.k8s.io',
  'v1',
  'CustomResourceDefinition',
  'customresourcedefinitions',
  'cluster',
);

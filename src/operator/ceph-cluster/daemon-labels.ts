import type { ClusterWork } from './work.ts';

export type DaemonType = 'mon' | 'mgr' | 'osd';

/** The labels that find one daemon’s pods, as Rook’s Deployments have them. */
export function selectorLabels(
  work: Pick<ClusterWork, 'namespace'>,
  type: DaemonType,
  id: string,
): Record<string, string> {
  return {
    app: `rook-ceph-${type}`,
    ceph_daemon_id: id,
    ceph_daemon_type: type,
    [type]: id,
    rook_cluster: work.namespace,
    ...(type === 'mon' && { mon_cluster: work.namespace }),
    ...(type === 'mgr' && { instance: id }),
    ...(type === 'osd' && { 'ceph-osd-id': id }),
  };
}

/** All labels of a daemon’s objects: Rook’s and Kubernetes’ recommended ones, and the user’s. */
export function daemonLabels(
  work: Pick<ClusterWork, 'namespace' | 'operatorNamespace' | 'cluster'>,
  type: DaemonType,
  id: string,
): Record<string, string> {
  const users = work.cluster.spec.labels;
  return {
    ...users?.['all'],
    ...users?.[type],
    ...selectorLabels(work, type, id),
    'app.kubernetes.io/component': 'cephclusters.ceph.rook.io',
    'app.kubernetes.io/created-by': 'rook-ceph-operator',
    'app.kubernetes.io/instance': id,
    'app.kubernetes.io/managed-by': 'rook-ceph-operator',
    'app.kubernetes.io/name': `ceph-${type}`,
    'app.kubernetes.io/part-of': work.cluster.metadata.name,
    'rook.io/operator-namespace': work.operatorNamespace,
  };
}

export function daemonAnnotations(work: Pick<ClusterWork, 'cluster'>, type: string): Record<string, string> {
  const users = work.cluster.spec.annotations;
  return { ...users?.['all'], ...users?.[type] };
}

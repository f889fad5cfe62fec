import type { OwnerReference } from 'kubernetes-types/meta/v1.js';
import type { CephCluster } from '../../api/ceph/ceph-cluster.ts';
import type { Reason } from '../../api/reasons.ts';
import type { Stored } from '../../api/resource.ts';
import type { KubeClient } from '../../kube/client.ts';
import type { Clock } from '../../lib/clock.ts';
import type { Logger } from '../../lib/log.ts';
import type { OwnedObjects } from '../objects.ts';
import type { OperatorImages } from '../settings.ts';

/** What every step of one reconcile is given. */
export interface ClusterWork {
  readonly cluster: Stored<CephCluster>;
  /** The cluster's namespace; also its clusterID, as with Rook. */
  readonly namespace: string;
  readonly operatorNamespace: string;
  readonly owner: OwnerReference;
  readonly kube: KubeClient;
  readonly objects: OwnedObjects;
  readonly images: OperatorImages;
  readonly clock: Clock;
  readonly log: Logger;
  readonly signal: AbortSignal;
  /** Random bytes, for keys and ids. */
  readonly random: (bytes: number) => Buffer;
}

/** Something a step waits for; it stands in status with its reason until it is over. */
export interface Wait {
  readonly step: string;
  readonly reason: Reason;
  readonly message: string;
  /** Look again after this long even where nothing changes. */
  readonly recheckMs: number;
  /** How long the wait is normal; after that it counts as failed, and is still tried. */
  readonly limitMs: number;
}

/** Something wrong that the user must mend. */
export interface Problem {
  readonly field: string;
  /** What is wrong, and what would be right. */
  readonly message: string;
}

export const cephImageOf = (work: Pick<ClusterWork, 'cluster' | 'images'>): string =>
  work.cluster.spec.cephVersion?.image || work.images.ceph;

export const hostNetworkOf = (cluster: Pick<CephCluster, 'spec'>): boolean =>
  cluster.spec.network?.provider === 'host' ||
  (!cluster.spec.network?.provider && cluster.spec.network?.hostNetwork === true);

export const dataDirOf = (cluster: Pick<CephCluster, 'spec'>): string =>
  (cluster.spec.dataDirHostPath ?? '/var/lib/rook').replace(/\/+$/, '');

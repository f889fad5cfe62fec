import { resource, type KubeObject } from '../api/resource.ts';

/**
 * What a person is shown of a CephCluster or CephBlockPool. Not by way of src/api/ceph: its schemas would cost each
 * verb some 40 ms to load.
 */
export interface StorageObject extends KubeObject {
  status?: {
    phase?: string;
    message?: string;
    ceph?: { health?: string };
  };
}

export const CephClusters = resource<StorageObject>('ceph.rook.io', 'v1', 'CephCluster', 'cephclusters');
export const CephBlockPools = resource<StorageObject>(
  'ceph.rook.io',
  'v1',
  'CephBlockPool',
  'cephblockpools',
);

/** `Ready, HEALTH_OK`: phase, health and message, as far as they are there. */
export const describeStorage = (object: StorageObject | undefined): string => {
  const { phase, message, ceph } = object?.status ?? {};
  return [phase, ceph?.health, message].filter((part) => part).join(', ');
};

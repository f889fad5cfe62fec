import { cephBlockPoolKind } from './ceph-block-pool.ts';
import { cephClusterKind } from './ceph-cluster.ts';
import type { CustomKind } from './custom-kind.ts';

/** Every kind of ceph.rook.io that Holdfast serves; deploy/crds holds one file for each. */
export const cephKinds: readonly CustomKind[] = [cephClusterKind, cephBlockPoolKind];

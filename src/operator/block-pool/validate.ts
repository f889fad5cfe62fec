import type { CephBlockPoolSpec } from '../../api/ceph/ceph-block-pool.ts';
import type { Problem } from '../ceph-cluster/work.ts';

const maxSize = 10;

/** Everything that is wrong with a pool’s spec, at once. */
export function validatePool(spec: CephBlockPoolSpec): Problem[] {
  const problems: Problem[] = [];
  const wrong = (field: string, message: string) => problems.push({ field: `spec.${field}`, message });
  const { replicated, erasureCoded, quotas } = spec;
  const erasure = (erasureCoded?.dataChunks ?? 0) + (erasureCoded?.codingChunks ?? 0) > 0;
  const size = replicated?.size ?? 0;
  if (erasure) wrong('erasureCoded', 'is not supported by this release; use replicated.size: 3');
  else if (size < 1)
    wrong('replicated.size', `is ${size}, but must be 1 or more; 3 keeps data through two losses`);
  if (size > maxSize) wrong('replicated.size', `is ${size}, but must be at most ${maxSize}`);
  if (size === 1 && replicated?.requireSafeReplicaSize !== false)
    wrong(
      'replicated.size',
      'is 1: one failed disk loses data; set replicated.requireSafeReplicaSize: false where that is meant, else 3',
    );
  for (const name of ['maxBytes', 'maxObjects'] as const) {
    const value = quotas?.[name];
    if (value !== undefined && value < 0)
      wrong(`quotas.${name}`, `is ${value}, but must be 0 (none) or more`);
  }
  const ratio = Number(spec.parameters?.['target_size_ratio'] ?? 0);
  if (ratio > 0 && (replicated?.targetSizeRatio ?? 0) > 0 && ratio !== replicated?.targetSizeRatio)
    wrong('parameters.target_size_ratio', 'differs from replicated.targetSizeRatio; set only one of them');
  return problems;
}

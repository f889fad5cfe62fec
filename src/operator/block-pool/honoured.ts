/** Paths of a CephBlockPool’s spec that this release acts on. What is not here is named in a condition. */
export const honouredPoolFields: readonly string[] = [
  'application',
  'compressionMode',
  'crushRoot',
  'deviceClass',
  'enableCrushUpdates',
  'failureDomain',
  'name',
  'parameters.**',
  'quotas.maxBytes',
  'quotas.maxObjects',
  'quotas.maxSize',
  'replicated.size',
  'replicated.requireSafeReplicaSize',
  'replicated.targetSizeRatio',
];
export const harmlessPoolValues: Readonly<Record<string, readonly unknown[]>> = {
  'statusCheck.mirror.disabled': [true],
  'statusCheck.mirror.interval': ['60s'],
};

/** RBD's feature bits, in the order in which `rbd info` prints them. */
const bits = new Map<string, bigint>([
  ['layering', 1n],
  ['striping', 2n],
  ['exclusive-lock', 4n],
  ['object-map', 8n],
  ['fast-diff', 16n],
  ['deep-flatten', 32n],
  ['journaling', 64n],
  ['data-pool', 128n],
  ['operations', 256n],
  ['migrating', 512n],
  ['non-primary', 1024n],
  ['dirty-cache', 2048n],
]);

/** The bits of these features, undefined where one is unknown. */
export function rbdFeatureBits(features: readonly string[]): bigint | undefined {
  let sum = 0n;
  for (const feature of features) {
    const bit = bits.get(feature);
    if (bit === undefined) return undefined;
    sum |= bit;
  }
  return sum;
}

/** Names of the features that are set; a bit without a name here is `feature-<bit>`. */
export function rbdFeatureNames(value: bigint): string[] {
  const names = [...bits].filter(([, bit]) => (value & bit) !== 0n).map(([name]) => name);
  for (let bit = 12n; value >> bit !== 0n; bit++)
    if (((value >> bit) & 1n) === 1n) names.push(`feature-${bit}`);
  return names;
}

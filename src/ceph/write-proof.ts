import type { Ceph } from './seam.ts';

/**
 * Proves that a pool takes writes: writes an omap key, reads it back, removes the object. A status that says
 * `active+clean` may be seconds old; this is not. Throws ETIMEDOUT where the pool blocks.
 */
export async function proveWrite(
  ceph: Ceph,
  pool: string,
  token: string,
  options: { readonly signal: AbortSignal; readonly timeoutMs?: number },
): Promise<void> {
  const object = `holdfast.write-proof.${token}`;
  await ceph.objects.omapSet({ pool }, object, new Map([['token', token]]), options);
  const read = await ceph.objects.omapGet({ pool }, object, ['token'], options);
  await ceph.objects.remove({ pool }, object, options);
  if (read.get('token') !== token) throw new Error(`pool ${pool} gave back another value than was written`);
}

import { z } from 'zod';
import { isCephError } from './errors.ts';
import type { Ceph } from './seam.ts';

export interface Pool {
  readonly id: number;
  readonly name: string;
  readonly type: 'replicated' | 'erasure';
  readonly size: number;
  readonly minSize: number;
  readonly pgNum: number;
  readonly crushRule: string;
  readonly autoscaleMode: string;
  /** compression_mode, target_size_ratio and the like, those that are set. */
  readonly options: ReadonlyMap<string, string>;
  readonly applications: readonly string[];
  readonly quotaMaxBytes: number;
  readonly quotaMaxObjects: number;
}

const PoolDetail = z.object({
  pool_id: z.int(),
  pool_name: z.string(),
  type: z.int(),
  size: z.int(),
  min_size: z.int(),
  crush_rule: z.int(),
  pg_num: z.int(),
  pg_autoscale_mode: z.string(),
  quota_max_bytes: z.number(),
  quota_max_objects: z.number(),
  options: z.record(z.string(), z.union([z.string(), z.number(), z.boolean()])),
  application_metadata: z.record(z.string(), z.unknown()),
});
const RuleNames = z.array(z.object({ rule_id: z.int(), rule_name: z.string() }));
const erasureType = 3;

/** All pools, from two calls: `osd pool ls detail` and the names of the CRUSH rules. */
export async function readPools(ceph: Ceph, signal: AbortSignal): Promise<readonly Pool[]> {
  const [details, rules] = await Promise.all([
    ceph.mon({ prefix: 'osd pool ls', detail: 'detail' }, z.array(PoolDetail), { signal }),
    ceph.mon({ prefix: 'osd crush rule dump' }, RuleNames, { signal }),
  ]);
  const ruleName = new Map(rules.map((rule) => [rule.rule_id, rule.rule_name]));
  return details.map((pool) => ({
    id: pool.pool_id,
    name: pool.pool_name,
    type: pool.type === erasureType ? 'erasure' : 'replicated',
    size: pool.size,
    minSize: pool.min_size,
    pgNum: pool.pg_num,
    crushRule: ruleName.get(pool.crush_rule) ?? String(pool.crush_rule),
    autoscaleMode: pool.pg_autoscale_mode,
    options: new Map(Object.entries(pool.options).map(([name, value]) => [name, String(value)])),
    applications: Object.keys(pool.application_metadata),
    quotaMaxBytes: pool.quota_max_bytes,
    quotaMaxObjects: pool.quota_max_objects,
  }));
}

/** A pool as Ceph has it, or undefined where there is none. */
export async function readPool(ceph: Ceph, pool: string, signal: AbortSignal): Promise<Pool | undefined> {
  return (await readPools(ceph, signal)).find((entry) => entry.name === pool);
}

export interface PoolSpec {
  readonly size: number;
  readonly crushRule?: string;
  /** A start; the autoscaler moves it where it is on. Ceph's own default where not said. */
  readonly pgNum?: number;
  readonly autoscaleMode?: 'on' | 'off' | 'warn';
}

/** Makes a replicated pool and answers it. One of that name that is there already is answered as it is. */
export async function createPool(
  ceph: Ceph,
  pool: string,
  spec: PoolSpec,
  signal: AbortSignal,
): Promise<Pool> {
  await ceph.mon(
    {
      prefix: 'osd pool create',
      pool,
      pool_type: 'replicated',
      ...(spec.pgNum === undefined ? {} : { pg_num: spec.pgNum, pgp_num: spec.pgNum }),
      ...(spec.crushRule === undefined ? {} : { rule: spec.crushRule }),
      ...(spec.autoscaleMode === undefined ? {} : { autoscale_mode: spec.autoscaleMode }),
      size: spec.size,
    },
    z.unknown(),
    { signal },
  );
  const made = await readPool(ceph, pool, signal);
  if (!made) throw new Error(`pool ${pool} was removed while it was being made`);
  return made;
}

/** `osd pool set`. ENOENT where there is no such pool, EINVAL for an unknown variable or a value out of range. */
export async function setPool(
  ceph: Ceph,
  pool: string,
  variable: string,
  value: string | number,
  signal: AbortSignal,
): Promise<void> {
  // Size 1 has no second copy; whoever asks for it has said so in the pool's spec (requireSafeReplicaSize).
  const sure = variable === 'size' && Number(value) === 1 ? { yes_i_really_mean_it: true } : {};
  await ceph.mon({ prefix: 'osd pool set', pool, var: variable, val: String(value), ...sure }, z.unknown(), {
    signal,
  });
}

/** 0 lifts the quota. */
export async function setPoolQuota(
  ceph: Ceph,
  pool: string,
  field: 'max_bytes' | 'max_objects',
  value: bigint | number,
  signal: AbortSignal,
): Promise<void> {
  await ceph.mon({ prefix: 'osd pool set-quota', pool, field, val: String(value) }, z.unknown(), { signal });
}

/** Idempotent. EPERM where the pool has another application already. */
export async function enableApplication(
  ceph: Ceph,
  pool: string,
  application: string,
  signal: AbortSignal,
): Promise<void> {
  await ceph.mon({ prefix: 'osd pool application enable', pool, app: application }, z.unknown(), { signal });
}

/**
 * Destroys a pool with all its data; false where there is none. Ceph refuses with EPERM where
 * mon_allow_pool_delete is false. The caller has made sure that nothing lives in it.
 */
export async function deletePool(ceph: Ceph, pool: string, signal: AbortSignal): Promise<boolean> {
  if ((await ceph.poolId(pool, { signal })) === undefined) return false;
  await ceph.mon(
    { prefix: 'osd pool rm', pool, pool2: pool, yes_i_really_really_mean_it: true },
    z.unknown(),
    { signal },
  );
  return true;
}

/**
 * Names the images whose deletion was asked for and whose objects may go at any time: an omap of image id ->
 * name in each pool. What else is in the trash, somebody put there to keep.
 */
export const deletedImagesObject = 'holdfast.trash';

/** Images, and images in the trash that somebody may want back: what stands in the way of deleting a pool. */
export async function imagesIn(
  ceph: Ceph,
  pool: string,
  signal: AbortSignal,
): Promise<{ readonly images: readonly string[]; readonly trash: readonly string[] }> {
  try {
    const [images, trash, deleted] = await Promise.all([
      ceph.rbd.list({ pool }, { signal }),
      ceph.rbd.trashList({ pool }, { signal }),
      ceph.objects.omapList({ pool }, deletedImagesObject, { signal }),
    ]);
    const kept = trash.filter((image) => !deleted.has(image.id));
    return { images: images.map((image) => image.name), trash: kept.map((image) => image.name) };
  } catch (error) {
    if (isCephError(error, 'ENOENT')) return { images: [], trash: [] };
    throw error;
  }
}

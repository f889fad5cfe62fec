import { z } from 'zod';
import type { Ceph } from './seam.ts';

/** Bytes throughout; raw figures count every copy. */
export interface Capacity {
  readonly totalBytes: number;
  readonly usedBytes: number;
  readonly availableBytes: number;
  readonly pools: readonly PoolUsage[];
}

export interface PoolUsage {
  readonly id: number;
  readonly name: string;
  /** What clients wrote, one copy. */
  readonly storedBytes: number;
  /** What it takes with its copies. */
  readonly usedBytes: number;
  /** What clients may still write. */
  readonly maxAvailableBytes: number;
  readonly objects: number;
}

const DfAnswer = z.object({
  stats: z.object({
    total_bytes: z.number(),
    total_avail_bytes: z.number(),
    total_used_raw_bytes: z.number(),
  }),
  pools: z.array(
    z.object({
      name: z.string(),
      id: z.int(),
      stats: z.object({
        stored: z.number(),
        objects: z.number(),
        bytes_used: z.number(),
        max_avail: z.number(),
      }),
    }),
  ),
});

/** `ceph df`. */
export async function readCapacity(ceph: Ceph, signal: AbortSignal): Promise<Capacity> {
  const { stats, pools } = await ceph.mon({ prefix: 'df' }, DfAnswer, { signal });
  return {
    totalBytes: stats.total_bytes,
    usedBytes: stats.total_used_raw_bytes,
    availableBytes: stats.total_avail_bytes,
    pools: pools.map((pool) => ({
      id: pool.id,
      name: pool.name,
      storedBytes: pool.stats.stored,
      usedBytes: pool.stats.bytes_used,
      maxAvailableBytes: pool.stats.max_avail,
      objects: pool.stats.objects,
    })),
  };
}

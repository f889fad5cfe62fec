import { z } from 'zod';
import { isCephError } from './errors.ts';
import { HealthAnswer, type Health } from './health.ts';
import type { Ceph } from './seam.ts';

export interface ClusterStatus {
  readonly fsid: string;
  readonly health: Health;
  /** Mons in quorum, by name. */
  readonly quorum: readonly string[];
  readonly monCount: number;
  readonly osds: { readonly total: number; readonly up: number; readonly in: number };
  readonly pgs: {
    readonly total: number;
    /** `active+clean` -> 32 */
    readonly byState: ReadonlyMap<string, number>;
  };
  readonly pools: number;
  readonly bytes: { readonly total: number; readonly used: number; readonly available: number };
  readonly mgr: { readonly available: boolean; readonly standbys: number };
}

const StatusAnswer = z.object({
  fsid: z.string(),
  health: HealthAnswer,
  quorum_names: z.array(z.string()),
  monmap: z.object({ num_mons: z.int() }),
  osdmap: z.object({ num_osds: z.int(), num_up_osds: z.int(), num_in_osds: z.int() }),
  pgmap: z.object({
    pgs_by_state: z.array(z.object({ state_name: z.string(), count: z.int() })),
    num_pgs: z.int(),
    num_pools: z.int(),
    bytes_used: z.number().default(0),
    bytes_avail: z.number().default(0),
    bytes_total: z.number().default(0),
  }),
  mgrmap: z.object({ available: z.boolean(), num_standbys: z.int().default(0) }),
});

/** `ceph status`. The PG figures come from the mgr's last report and may be seconds old. */
export async function readStatus(ceph: Ceph, signal: AbortSignal): Promise<ClusterStatus> {
  const answer = await ceph.mon({ prefix: 'status' }, StatusAnswer, { signal });
  const { osdmap, pgmap, mgrmap } = answer;
  return {
    fsid: answer.fsid,
    health: answer.health,
    quorum: answer.quorum_names,
    monCount: answer.monmap.num_mons,
    osds: { total: osdmap.num_osds, up: osdmap.num_up_osds, in: osdmap.num_in_osds },
    pgs: {
      total: pgmap.num_pgs,
      byState: new Map(pgmap.pgs_by_state.map((entry) => [entry.state_name, entry.count])),
    },
    pools: pgmap.num_pools,
    bytes: { total: pgmap.bytes_total, used: pgmap.bytes_used, available: pgmap.bytes_avail },
    mgr: { available: mgrmap.available, standbys: mgrmap.num_standbys },
  };
}

/** True where there is at least one PG and all of them are active+clean (scrubbing counts as clean). */
export function allPgsClean({ pgs }: Pick<ClusterStatus, 'pgs'>): boolean {
  const clean = [...pgs.byState].reduce(
    (total, [state, count]) =>
      total + (state.split('+').includes('active') && state.split('+').includes('clean') ? count : 0),
    0,
  );
  return pgs.total > 0 && clean === pgs.total;
}

export interface MonMapEntry {
  readonly name: string;
  readonly rank: number;
  /** `10.96.0.5:3300`, undefined where the mon speaks only v1. */
  readonly v2: string | undefined;
  readonly v1: string | undefined;
  readonly inQuorum: boolean;
}

export interface MonMap {
  readonly epoch: number;
  readonly fsid: string;
  readonly mons: readonly MonMapEntry[];
}

const MonDumpAnswer = z.object({
  epoch: z.int(),
  fsid: z.string(),
  quorum: z.array(z.int()),
  mons: z.array(
    z.object({
      rank: z.int(),
      name: z.string(),
      public_addrs: z.object({ addrvec: z.array(z.object({ type: z.string(), addr: z.string() })) }),
    }),
  ),
});

export async function readMonMap(ceph: Ceph, signal: AbortSignal): Promise<MonMap> {
  const answer = await ceph.mon({ prefix: 'mon dump' }, MonDumpAnswer, { signal });
  return {
    epoch: answer.epoch,
    fsid: answer.fsid,
    mons: answer.mons.map((mon) => ({
      name: mon.name,
      rank: mon.rank,
      v2: mon.public_addrs.addrvec.find((entry) => entry.type === 'v2')?.addr,
      v1: mon.public_addrs.addrvec.find((entry) => entry.type === 'v1')?.addr,
      inQuorum: answer.quorum.includes(mon.rank),
    })),
  };
}

/** mon_host for a client: v2 and v1 of each mon, as librados reads it. */
export const monHostOf = (mons: readonly Pick<MonMapEntry, 'v1' | 'v2'>[]): string =>
  mons
    .map(({ v2, v1 }) => {
      const addresses = [...(v2 ? [`v2:${v2}`] : []), ...(v1 ? [`v1:${v1}`] : [])];
      return `[${addresses.join(',')}]`;
    })
    .join(',');

/** Takes a mon out of the map; one that is not in it is no error. */
export async function removeMon(ceph: Ceph, name: string, signal: AbortSignal): Promise<void> {
  await ceph.mon({ prefix: 'mon rm', name }, z.unknown(), { signal });
}

/** Whether a majority stays when these mons stop; where not, Ceph's reason. */
export async function monsOkToStop(
  ceph: Ceph,
  names: readonly string[],
  signal: AbortSignal,
): Promise<{ ok: true } | { ok: false; reason: string }> {
  try {
    await ceph.mon({ prefix: 'mon ok-to-stop', ids: names }, z.unknown(), { signal });
    return { ok: true };
  } catch (error) {
    if (isCephError(error, 'EBUSY')) return { ok: false, reason: error.text };
    throw error;
  }
}

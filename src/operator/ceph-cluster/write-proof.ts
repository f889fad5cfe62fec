import { createRule, readRule } from '../../ceph/crush.ts';
import { isCephError } from '../../ceph/errors.ts';
import { createPool, enableApplication, readPools, setPool, type Pool } from '../../ceph/pools.ts';
import type { Ceph } from '../../ceph/seam.ts';
import { proveWrite } from '../../ceph/write-proof.ts';
import { isDeadlineError } from '../../lib/deadline.ts';
import { readVersions } from '../../ceph/versions.ts';
import { runningVersion, versionInImageName } from './ceph-version.ts';
import { cephImageOf, type ClusterWork } from './work.ts';

/** A write waits inside Ceph until its placement group is active; a call past its limit costs the connection. */
export const writeLimitMs = 10_000;
const minimumMgrPoolMajor = 17;

/**
 * Whether a write goes through. `active+clean` is the mgr’s word and may be seconds old; after a warm
 * start the first write took 10 s while status said all was well. Ceph’s own internal pool is used, which
 * is made here where it is not there yet, as Ceph would do itself.
 */
export async function provesWrite(
  work: ClusterWork,
  ceph: Ceph,
  osds: number,
  hosts: number,
): Promise<boolean> {
  const pool = await ensureInternalPool(work, ceph, hosts);
  await meetRule(work, ceph, pool, hosts);
  await meetMinSize(work, ceph, pool, osds);
  try {
    await proveWrite(ceph, pool.name, work.cluster.metadata.uid, {
      signal: work.signal,
      timeoutMs: writeLimitMs,
    });
    return true;
  } catch (error) {
    if (isDeadlineError(error) || isCephError(error, 'ETIMEDOUT')) return false;
    if (isCephError(error) && error.retryable) return false;
    throw error;
  }
}

/**
 * Pacific’s mgr makes its pool by itself, with the rule that the mons were made with. Where that keeps
 * copies apart by host and there are too few hosts, no write could ever go through.
 */
async function meetRule(work: ClusterWork, ceph: Ceph, pool: Pool, hosts: number): Promise<void> {
  if (hosts >= pool.minSize) return;
  const rule = await readRule(ceph, pool.crushRule, work.signal);
  if (rule?.failureDomain !== 'host') return;
  const byOsd = await createRule(
    ceph,
    'holdfast_internal_osd',
    { root: rule.root, failureDomain: 'osd' },
    work.signal,
  );
  await setPool(ceph, pool.name, 'crush_rule', byOsd.name, work.signal);
}

/** With a single OSD the pool takes writes with one copy; with the second it asks for two again. */
async function meetMinSize(work: ClusterWork, ceph: Ceph, pool: Pool, osds: number): Promise<void> {
  const minSize = osds < 2 ? 1 : 2;
  if (pool.size < 2 || pool.minSize === minSize) return;
  await setPool(ceph, pool.name, 'min_size', minSize, work.signal);
}

const copies = 3;

/** Ceph’s own pool: `.mgr` since Quincy. Where the image’s tag is no version, its daemons are asked. */
async function internalPoolName(
  work: ClusterWork,
  ceph: Ceph,
): Promise<readonly [name: string, application: string]> {
  const version =
    versionInImageName(cephImageOf(work)) ?? runningVersion(await readVersions(ceph, work.signal));
  return version === undefined || version.major >= minimumMgrPoolMajor
    ? ['.mgr', 'mgr']
    : ['device_health_metrics', 'mgr_devicehealth'];
}

/**
 * Makes the internal pool before the first OSD is up. Ceph’s mgr would make it a little later, with a rule
 * that one host cannot meet; to mend that under a waiting write costs the writer ten seconds. Copies stay
 * on OSDs of their own where there are too few hosts for more.
 */
export async function ensureInternalPool(work: ClusterWork, ceph: Ceph, hosts: number): Promise<Pool> {
  const [name, application] = await internalPoolName(work, ceph);
  const existing = (await readPools(ceph, work.signal)).find((pool) => pool.name === name);
  if (existing) {
    // Whoever made it was killed before its next step; Ceph would warn of such a pool for ever.
    if (existing.applications.length === 0) await enableApplication(ceph, name, application, work.signal);
    return existing;
  }
  const failureDomain = hosts >= copies ? 'host' : 'osd';
  const rule = await createRule(
    ceph,
    `holdfast_internal_${failureDomain}`,
    { root: 'default', failureDomain },
    work.signal,
  );
  const spec = { size: copies, pgNum: 1, crushRule: rule.name, autoscaleMode: 'on' } as const;
  const pool = await createPool(ceph, name, spec, work.signal);
  await enableApplication(ceph, name, application, work.signal);
  return pool;
}

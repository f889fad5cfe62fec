import { createRule, readRule } from '../../ceph/crush.ts';
import { isCephError } from '../../ceph/errors.ts';
import { createPool, enableApplication, readPools, setPool, type Pool } from '../../ceph/pools.ts';
import type { Ceph } from '../../ceph/seam.ts';
import { proveWrite } from '../../ceph/write-proof.ts';
import { isDeadlineError } from '../../lib/deadline.ts';
import { versionInImageName } from './ceph-version.ts';
import { cephImageOf, type ClusterWork } from './work.ts';

const writeLimitMs = 3_000;
const minimumLegacyMajor = 17;

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
  const pool = await internalPool(work, ceph, osds, hosts);
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

/** Copies stay on OSDs of their own where there are too few hosts for more. */
const internalRule = (hosts: number) => (hosts >= 3 ? 'host' : 'osd');

async function internalPool(work: ClusterWork, ceph: Ceph, osds: number, hosts: number): Promise<Pool> {
  const major = versionInImageName(cephImageOf(work))?.major ?? minimumLegacyMajor;
  const [name, application] =
    major >= minimumLegacyMajor ? ['.mgr', 'mgr'] : ['device_health_metrics', 'mgr_devicehealth'];
  const size = Math.min(3, Math.max(1, osds));
  const existing = (await readPools(ceph, work.signal)).find((pool) => pool.name === name);
  if (existing) {
    // It was made while there were fewer OSDs; copies are never taken away.
    if (existing.size < size) await setPool(ceph, name, 'size', size, work.signal);
    await meetRule(work, ceph, existing, hosts);
    await meetMinSize(work, ceph, existing, osds);
    return existing;
  }
  const failureDomain = internalRule(hosts);
  const rule = await createRule(
    ceph,
    `holdfast_internal_${failureDomain}`,
    { root: 'default', failureDomain },
    work.signal,
  );
  const pool = await createPool(
    ceph,
    name,
    { size, pgNum: 1, crushRule: rule.name, autoscaleMode: 'on' },
    work.signal,
  );
  await enableApplication(ceph, name, application, work.signal);
  return pool;
}

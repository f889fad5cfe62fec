import { createRule } from '../../ceph/crush.ts';
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

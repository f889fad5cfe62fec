import type { CephBlockPoolSpec } from '../../api/ceph/ceph-block-pool.ts';
import { isCephError } from '../../ceph/errors.ts';
import { enableApplication, setPool, setPoolQuota, type Pool } from '../../ceph/pools.ts';
import type { Ceph } from '../../ceph/seam.ts';
import { parseBytes } from '../../lib/quantity.ts';
import type { Problem } from '../ceph-cluster/work.ts';

/**
 * Brings a pool’s settings to its spec: copies, quotas, compression, share and free parameters. Answers
 * what Ceph refused, each with its field.
 */
export async function applyPoolSettings(
  ceph: Ceph,
  pool: Pool,
  spec: CephBlockPoolSpec,
  rule: string,
  signal: AbortSignal,
): Promise<readonly Problem[]> {
  const problems: Problem[] = [];
  const attempt = async (field: string, change: () => Promise<void>) => {
    try {
      await change();
    } catch (error) {
      if (!isCephError(error, 'EINVAL') && !isCephError(error, 'ENOENT') && !isCephError(error, 'EPERM'))
        throw error;
      problems.push({ field: `spec.${field}`, message: `Ceph refused it: ${error.text}` });
    }
  };
  const size = spec.replicated?.size ?? pool.size;
  if (pool.size !== size)
    await attempt('replicated.size', () => setPool(ceph, pool.name, 'size', size, signal));
  if (pool.crushRule !== rule)
    await attempt('failureDomain', () => setPool(ceph, pool.name, 'crush_rule', rule, signal));
  const application = spec.application || 'rbd';
  if (!pool.applications.includes(application))
    await attempt('application', () => enableApplication(ceph, pool.name, application, signal));
  for (const [name, value, field] of wantedOptions(spec)) {
    if (sameValue(pool, name, value)) continue;
    await attempt(field, () => setPool(ceph, pool.name, name, value, signal));
  }
  await setQuotas(ceph, pool, spec, attempt, signal);
  return problems;
}

function wantedOptions(spec: CephBlockPoolSpec): [name: string, value: string, field: string][] {
  const wanted: [string, string, string][] = [];
  if (spec.compressionMode) wanted.push(['compression_mode', spec.compressionMode, 'compressionMode']);
  const ratio = spec.replicated?.targetSizeRatio;
  if (ratio) wanted.push(['target_size_ratio', String(ratio), 'replicated.targetSizeRatio']);
  for (const [name, value] of Object.entries(spec.parameters ?? {}))
    wanted.push([name, value, `parameters.${name}`]);
  return wanted;
}

/** Whether Ceph has the value already. Numbers are compared as numbers: 0.5 and 0.50 are the same. */
function sameValue(pool: Pool, name: string, value: string): boolean {
  const present: string | undefined =
    name === 'pg_num' || name === 'pgp_num'
      ? String(pool.pgNum)
      : name === 'min_size'
        ? String(pool.minSize)
        : name === 'pg_autoscale_mode'
          ? pool.autoscaleMode
          : pool.options.get(name);
  if (present === undefined) return false;
  return present === value || (value !== '' && Number(present) === Number(value));
}

async function setQuotas(
  ceph: Ceph,
  pool: Pool,
  spec: CephBlockPoolSpec,
  attempt: (field: string, change: () => Promise<void>) => Promise<void>,
  signal: AbortSignal,
): Promise<void> {
  // What the spec does not speak of is left as it is: someone may have set it by hand.
  if (!spec.quotas) return;
  const { maxSize, maxBytes, maxObjects } = spec.quotas;
  const bytes = maxSize === undefined ? BigInt(maxBytes ?? 0) : (parseBytes(maxSize) ?? 0n);
  if (BigInt(pool.quotaMaxBytes) !== bytes)
    await attempt(maxSize === undefined ? 'quotas.maxBytes' : 'quotas.maxSize', () =>
      setPoolQuota(ceph, pool.name, 'max_bytes', bytes, signal),
    );
  const objects = maxObjects ?? 0;
  if (pool.quotaMaxObjects !== objects)
    await attempt('quotas.maxObjects', () => setPoolQuota(ceph, pool.name, 'max_objects', objects, signal));
}

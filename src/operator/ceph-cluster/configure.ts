import { z } from 'zod';
import { readConfig, removeConfig, setConfig } from '../../ceph/config.ts';
import { isCephError } from '../../ceph/errors.ts';
import { disableMgrModule, enableMgrModule, readMgrModules } from '../../ceph/mgr.ts';
import type { Ceph } from '../../ceph/seam.ts';
import { mapLimit } from '../../lib/map-limit.ts';
import { contentHash } from '../objects.ts';
import type { ClusterWork, Problem } from './work.ts';

/** What was last written to each cluster, so that an unchanged spec costs no call. */
export type AppliedConfig = Map<string, string>;

const settingsAtOnce = 16;

/**
 * Writes `cephConfig`, full ratios, module switches and mutes into Ceph. Answers what Ceph refused, each
 * with its field: a wrong setting must not keep the rest of the cluster from coming up.
 */
export async function configureCeph(
  work: ClusterWork,
  ceph: Ceph,
  applied: AppliedConfig,
): Promise<readonly Problem[]> {
  const { spec } = work.cluster;
  const uid = work.cluster.metadata.uid;
  const { cephConfig, storage, mgr, healthCheck } = spec;
  const hash = contentHash({
    cephConfig,
    storage: [storage?.fullRatio, storage?.nearFullRatio, storage?.backfillFullRatio],
    mgr,
    mute: healthCheck?.muteHealthWarning,
  });
  if (applied.get(uid) === hash) return [];
  const problems: Problem[] = [];
  await writeSettings(work, ceph, problems);
  await writeRatios(work, ceph);
  await switchModules(work, ceph, problems);
  await muteWarnings(work, ceph);
  // With a refused setting it is tried again each time, so that the condition goes when it is mended.
  if (problems.length === 0) applied.set(uid, hash);
  return problems;
}

async function writeSettings(work: ClusterWork, ceph: Ceph, problems: Problem[]): Promise<void> {
  const wanted = Object.entries(work.cluster.spec.cephConfig ?? {});
  if (wanted.length === 0) return;
  const present = await readConfig(ceph, work.signal);
  const write = async (who: string, name: string, value: string): Promise<Problem[]> => {
    const option = name.replaceAll(' ', '_').replaceAll('-', '_');
    if (present.some((one) => one.who === who && one.name === option && one.value === value)) return [];
    try {
      if (value === '') await removeConfig(ceph, who, option, work.signal);
      else await setConfig(ceph, who, option, value, work.signal);
      return [];
    } catch (error) {
      if (!isCephError(error, 'EINVAL') && !isCephError(error, 'ENOENT')) throw error;
      return [{ field: `spec.cephConfig.${who}.${name}`, message: `Ceph refused it: ${error.text}` }];
    }
  };
  const settings = wanted.flatMap(([who, values]) =>
    Object.entries(values).map(([name, value]) => [who, name, value] as const),
  );
  // Together, for the mons commit what comes in a moment as one change, and OSDs wait for this.
  const refused = await mapLimit(settings, settingsAtOnce, ([who, name, value]) => write(who, name, value));
  problems.push(...refused.flat());
}

async function writeRatios(work: ClusterWork, ceph: Ceph): Promise<void> {
  const { storage } = work.cluster.spec;
  const ratios = [
    ['osd set-full-ratio', storage?.fullRatio],
    ['osd set-backfillfull-ratio', storage?.backfillFullRatio],
    ['osd set-nearfull-ratio', storage?.nearFullRatio],
  ] as const;
  for (const [prefix, ratio] of ratios)
    if (typeof ratio === 'number') await ceph.mon({ prefix, ratio }, z.unknown(), { signal: work.signal });
}

async function switchModules(work: ClusterWork, ceph: Ceph, problems: Problem[]): Promise<void> {
  const wanted = work.cluster.spec.mgr?.modules ?? [];
  if (wanted.length === 0) return;
  const running = await readMgrModules(ceph, work.signal);
  for (const [index, { name, enabled }] of wanted.entries()) {
    if (!name || running.has(name) === (enabled === true)) continue;
    try {
      if (enabled) await enableMgrModule(ceph, name, work.signal);
      else await disableMgrModule(ceph, name, work.signal);
    } catch (error) {
      if (!isCephError(error, 'ENOENT') && !isCephError(error, 'EINVAL')) throw error;
      problems.push({
        field: `spec.mgr.modules[${index}].name`,
        message: `Ceph refused ${name}: ${error.text}`,
      });
    }
  }
}

async function muteWarnings(work: ClusterWork, ceph: Ceph): Promise<void> {
  for (const [code, { policy }] of Object.entries(work.cluster.spec.healthCheck?.muteHealthWarning ?? {})) {
    const command =
      policy === 'mute' ? { prefix: 'health mute', code, sticky: true } : { prefix: 'health unmute', code };
    try {
      await ceph.mon(command, z.unknown(), { signal: work.signal });
    } catch (error) {
      // A code that is not raised cannot be unmuted; that is what was asked for.
      if (!isCephError(error, 'ENOENT')) throw error;
    }
  }
}

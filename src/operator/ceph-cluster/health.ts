import type { CephClusterStatus } from '../../api/ceph/cluster-status.ts';
import { readDeviceClasses } from '../../ceph/crush.ts';
import { readStatus, type ClusterStatus as CephStatus } from '../../ceph/mon.ts';
import type { Ceph } from '../../ceph/seam.ts';
import { readVersions } from '../../ceph/versions.ts';
import { isoTime } from './time.ts';
import type { ClusterWork } from './work.ts';

export interface HealthLook {
  readonly status: CephStatus;
  readonly ceph: NonNullable<CephClusterStatus['ceph']>;
  readonly deviceClasses: readonly string[];
}

/** Times in status move at most this often where nothing else does: each write wakes every watcher. */
const heartbeatMs = 60_000;
/** Used bytes wander all the time; a hundredth of the cluster is news. */
const capacityStep = 0.01;
const maxDetails = 30;

/** Reads health, capacity and versions, as they stand in status. */
export async function lookAtHealth(work: ClusterWork, ceph: Ceph): Promise<HealthLook> {
  const [status, versions, deviceClasses] = await Promise.all([
    readStatus(ceph, work.signal),
    readVersions(ceph, work.signal),
    readDeviceClasses(ceph, work.signal),
  ]);
  const before = work.cluster.status?.ceph;
  const nowMs = work.clock.now();
  const now = isoTime(nowMs);
  const health = status.health.status;
  const details = Object.fromEntries(
    status.health.checks
      .filter((check) => !check.muted)
      .slice(0, maxDetails)
      .map((check) => [check.code, { message: check.message, severity: check.severity }]),
  );
  const changed =
    before?.health !== health || Object.keys(before?.details ?? {}).join() !== Object.keys(details).join();
  const stale = nowMs - Date.parse(before?.lastChecked ?? '1970-01-01') >= heartbeatMs;
  return {
    status,
    deviceClasses,
    ceph: {
      fsid: status.fsid,
      health,
      details,
      lastChecked: changed || stale ? now : (before?.lastChecked ?? now),
      lastChanged: before?.health === health ? (before.lastChanged ?? now) : now,
      previousHealth:
        before?.health !== undefined && before.health !== health
          ? before.health
          : (before?.previousHealth ?? health),
      capacity: capacity(status, before?.capacity, changed || stale, now),
      versions: knownVersions(versions),
    },
  };
}

type Capacity = NonNullable<NonNullable<CephClusterStatus['ceph']>['capacity']>;

function capacity(status: CephStatus, before: Capacity | undefined, refresh: boolean, now: string): Capacity {
  const { total, used, available } = status.bytes;
  const moved = Math.abs((before?.bytesUsed ?? -1) - used) > total * capacityStep;
  if (before && before.bytesTotal === total && !moved && !refresh) return before;
  return { bytesTotal: total, bytesUsed: used, bytesAvailable: available, lastUpdated: now };
}

/** Only daemon types that status has a place for, and only those that run. */
function knownVersions(versions: Readonly<Record<string, Readonly<Record<string, number>>>>) {
  const types = ['mon', 'mgr', 'osd', 'mds', 'rgw', 'rbd-mirror', 'cephfs-mirror', 'overall'];
  return Object.fromEntries(
    types.flatMap((type) => {
      const found = versions[type];
      return found && Object.keys(found).length > 0 ? [[type, { ...found }]] : [];
    }),
  );
}

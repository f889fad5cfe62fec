import type { Deployment } from 'kubernetes-types/apps/v1.js';
import type { Stored } from '../../api/resource.ts';
import type { LeavingError } from '../leaving.ts';
import type { HealthLook } from './health.ts';
import type { OsdState } from './osds.ts';
import type { ClusterWork, Wait } from './work.ts';

const soonMs = 150; // Bring-up is a chain of short waits on things that send no event.

/** A cluster that is made anew waits for what the one before it leaves behind. */
export const waitsForRemoval = (error: LeavingError): Wait[] => [
  {
    step: 'identity',
    reason: 'FormerObjectsLeaving',
    message: error.message,
    recheckMs: soonMs,
    limitMs: 60_000,
  },
];

/** What the cluster still waits for on its way to its mons. */
export function waitsForMons(mons: readonly Stored<Deployment>[]): Wait[] {
  const running = mons.filter((mon) => (mon.status?.availableReplicas ?? 0) > 0).length;
  const starting = running < mons.length;
  return [
    {
      step: 'connect',
      reason: starting ? 'MonPodsStarting' : 'MonsUnreachable',
      message: starting
        ? `${running} of ${mons.length} mon pods are running`
        : 'the mon pods are running, but no quorum answers yet',
      recheckMs: 1_000,
      limitMs: 300_000,
    },
  ];
}

/** What a connected cluster still waits for. */
export function waitsFor(work: ClusterWork, look: HealthLook, osds: OsdState): Wait[] {
  const { status } = look;
  const waits: Wait[] = [];
  const wait = (
    step: string,
    reason: Wait['reason'],
    message: string,
    recheckMs = soonMs,
    limitMs = 300_000,
  ) => waits.push({ step, reason, message, recheckMs, limitMs });

  const mons = work.cluster.spec.mon?.count ?? 3;
  if (status.quorum.length < mons)
    wait('mons', 'MonsNotInQuorum', `${status.quorum.length} of ${mons} mons are in quorum`);
  if (!status.mgr.available) wait('mgr', 'MgrUnavailable', 'no mgr is active yet');
  if (osds.preparing.length > 0)
    wait(
      'osds',
      'OsdsPreparing',
      `disks are looked at and prepared on ${osds.preparing.slice(0, 10).join(', ')}`,
      1_000,
    );
  else if (osds.wanted.length === 0)
    wait(
      'osds',
      'NoDisks',
      'no disk became an OSD; status.storage.nodes has a verdict with its reason for each',
      10_000,
    );
  const { wanted, starting } = osds;
  if (starting.length > 0)
    wait('osds', 'OsdsStarting', `${wanted.length - starting.length} of ${wanted.length} OSDs are up`);
  return waits;
}

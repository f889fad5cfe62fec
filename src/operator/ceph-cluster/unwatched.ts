import { once } from 'node:events';
import type { CephClusterStatus } from '../../api/ceph/cluster-status.ts';
import { CephClusters, type CephCluster } from '../../api/ceph/ceph-cluster.ts';
import type { Reason } from '../../api/reasons.ts';
import { keyOf, refOf, type Stored } from '../../api/resource.ts';
import { hasCondition, setCondition, type Condition } from '../../control/conditions.ts';
import { isLeadershipLost } from '../../control/leader-election.ts';
import type { Task } from '../../control/manager.ts';
import { writeStatus } from '../../control/status.ts';
import type { KubeClient } from '../../kube/client.ts';
import type { Clock } from '../../lib/clock.ts';
import type { Logger } from '../../lib/log.ts';
import { isoTime } from './time.ts';

export interface UnwatchedDeps {
  readonly kube: KubeClient;
  readonly clusters: () => readonly Stored<CephCluster>[];
  readonly clock: Clock;
  readonly log: Logger;
}

const writeMs = 2_000; // The pod's grace is short, and the next leader waits for us.

/**
 * When the operator is stopped, the status of each ready cluster says that nobody watches it any more, until the next
 * one has looked: what stands there may be long untrue by then, as after a night with the machine off.
 */
export function unwatchedTask({ kube, clusters, clock, log }: UnwatchedDeps): Task {
  return {
    name: 'unwatched',
    async run(signal) {
      if (!signal.aborted) await once(signal, 'abort');
      // Another one leads already, and knows better.
      if (isLeadershipLost(signal.reason)) return;
      const calls = { signal: new AbortController().signal, timeoutMs: writeMs };
      const write = async (cluster: Stored<CephCluster>) => {
        try {
          await writeStatus(kube, CephClusters, cluster, (now) => unwatched(now, clock.now()), calls);
        } catch (error) {
          log.debug({ err: error, cluster: keyOf(refOf(cluster)) }, 'not said that nobody watches');
        }
      };
      await Promise.all(clusters().map(write));
    },
  };
}

const reason = 'OperatorStopped' satisfies Reason;

/** It was ready when its operator was stopped: what is down of it now is no bring-up. */
export const wasReadyWhenLeft = ({ status }: CephCluster): boolean =>
  status?.conditions?.some((one) => one.type === 'Ready' && one.reason === reason) ?? false;

/** The status of a cluster that nobody watches from now on. Pure. */
export function unwatched(cluster: CephCluster, nowMs: number): CephClusterStatus {
  const before = cluster.status ?? {};
  const conditions = before.conditions as Condition[] | undefined;
  // Ready is a promise; any other phase says already what is not so. While Rook runs, the status is Rook's.
  if (before.phase !== 'Ready' || hasCondition(conditions, 'RookOperatorActive')) return before;
  const message = `The operator was stopped at ${isoTime(nowMs)}, and none has looked at the cluster since`;
  const next = setCondition(conditions, { type: 'Ready', status: 'Unknown', reason, message }, nowMs);
  return {
    ...before,
    phase: 'Connecting',
    state: 'Connecting',
    message,
    conditions: next as NonNullable<CephClusterStatus['conditions']>,
    waitingFor: [{ step: 'operator', reason, message, since: isoTime(nowMs) }],
  };
}

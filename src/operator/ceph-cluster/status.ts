import type { CephClusterStatus, NodeStorageStatus } from '../../api/ceph/cluster-status.ts';
import type { CephCluster } from '../../api/ceph/ceph-cluster.ts';
import type { Reason } from '../../api/reasons.ts';
import {
  hasCondition,
  setCondition,
  type Condition,
  type ConditionUpdate,
} from '../../control/conditions.ts';
import { nameFields } from '../not-honoured.ts';
import type { HealthLook } from './health.ts';
import { noLongerStandingBack, standingBack } from './rook-operator.ts';
import { isoTime } from './time.ts';
import type { Problem, Wait } from './work.ts';

/** What one reconcile found; each part only where it got that far. */
export interface ClusterFindings {
  readonly problems: readonly Problem[];
  readonly notHonoured: readonly string[];
  readonly blockedBy?: { readonly reason: Reason; readonly message: string };
  readonly waits: readonly Wait[];
  readonly image: string;
  readonly version: string | undefined;
  readonly connected: boolean;
  readonly health?: HealthLook;
  readonly storage: readonly NodeStorageStatus[];
  /** A write went through. */
  readonly proven: boolean;
}

const maxDevices = 200; // A large cluster’s verdicts must not fill the object; those in use need no word.

/** The status that follows from the findings and from what stood there before. Pure. */
export function clusterStatus(
  cluster: CephCluster,
  findings: ClusterFindings,
  nowMs: number,
): CephClusterStatus {
  const before = cluster.status ?? {};
  const generation = cluster.metadata?.generation;
  if (findings.blockedBy?.reason === 'RookOperatorActive') {
    const { message } = findings.blockedBy;
    const conditions = standingBack(before.conditions as Condition[] | undefined, message, nowMs);
    return { ...before, conditions: conditions as NonNullable<CephClusterStatus['conditions']> };
  }
  const { phase, state, message } = summary(findings, before);
  let conditions = before.conditions as Condition[] | undefined;
  for (const update of conditionsOf(findings, phase, message, before))
    conditions = setCondition(conditions, { ...update, observedGeneration: generation }, nowMs);
  return {
    ...before,
    observedGeneration: generation,
    phase,
    state,
    message,
    ...(conditions && { conditions: [...conditions] as NonNullable<CephClusterStatus['conditions']> }),
    waitingFor: findings.waits.map((wait) => waitStatus(wait, before, nowMs)),
    ...(findings.version !== undefined && { version: { image: findings.image, version: findings.version } }),
    ...(findings.health && { ceph: findings.health.ceph }),
    ...((findings.storage.length > 0 || findings.health) && { storage: storageOf(findings, before) }),
  };
}

interface Summary {
  readonly phase: 'Progressing' | 'Connecting' | 'Ready' | 'Failure';
  readonly state: 'Creating' | 'Created' | 'Connecting' | 'Error' | 'Updating';
  readonly message: string;
}

function summary(findings: ClusterFindings, before: CephClusterStatus): Summary {
  const wasReady = hasCondition(before.conditions, 'Ready');
  if (findings.problems.length > 0)
    return {
      phase: 'Failure',
      state: 'Error',
      message: findings.problems.map((problem) => `${problem.field} ${problem.message}`).join('; '),
    };
  if (findings.blockedBy) return { phase: 'Failure', state: 'Error', message: findings.blockedBy.message };
  const first = findings.waits[0];
  if (!first && findings.proven)
    return { phase: 'Ready', state: 'Created', message: 'Cluster created successfully' };
  return {
    phase: findings.connected || !first || first.step !== 'connect' ? 'Progressing' : 'Connecting',
    state: wasReady ? 'Updating' : findings.connected ? 'Creating' : 'Connecting',
    message: first?.message ?? 'Bringing the cluster up',
  };
}

function conditionsOf(
  findings: ClusterFindings,
  phase: Summary['phase'],
  message: string,
  before: CephClusterStatus,
): ConditionUpdate[] {
  const ready = phase === 'Ready';
  const failed = phase === 'Failure';
  const stopped: Reason = findings.blockedBy?.reason ?? 'SpecInvalid';
  const waiting: Reason = findings.waits[0]?.reason ?? 'ClusterProgressing';
  const wasConnected = before.conditions?.some((one) => one.type === 'Connected') ?? false;
  const fields = findings.notHonoured;
  return [
    ...noLongerStandingBack(before.conditions),
    { type: 'Ready', status: ready, reason: ready ? 'ClusterCreated' : failed ? stopped : waiting, message },
    {
      type: 'Progressing',
      status: !ready && !failed,
      reason: ready ? 'ClusterCreated' : failed ? stopped : waiting,
      message,
    },
    ...(failed || before.conditions?.some((one) => one.type === 'Failure')
      ? [
          {
            type: 'Failure',
            status: failed,
            reason: failed ? stopped : ('ReconcileSucceeded' as const),
            message,
          },
        ]
      : []),
    ...(findings.connected || wasConnected
      ? [
          {
            type: 'Connected',
            status: findings.connected,
            reason: findings.connected ? ('ClusterConnected' as const) : ('MonsUnreachable' as const),
            message: findings.connected ? 'The monitors answer' : 'The monitors do not answer',
          },
        ]
      : []),
    ...(fields.length > 0 || before.conditions?.some((one) => one.type === 'FieldsNotHonoured')
      ? [
          {
            type: 'FieldsNotHonoured',
            status: fields.length > 0,
            reason: fields.length > 0 ? ('FieldsNotHonoured' as const) : ('AllFieldsHonoured' as const),
            message:
              fields.length > 0
                ? `This release does not act on ${nameFields(fields)}`
                : 'Every field is acted on',
          },
        ]
      : []),
  ];
}

function waitStatus(wait: Wait, before: CephClusterStatus, nowMs: number) {
  const old = before.waitingFor?.find((one) => one.step === wait.step && one.reason === wait.reason);
  const since = old?.since ?? isoTime(nowMs);
  return {
    step: wait.step,
    reason: wait.reason,
    message: wait.message,
    since,
    until: isoTime(Date.parse(since) + wait.limitMs),
  };
}

function storageOf(
  findings: ClusterFindings,
  before: CephClusterStatus,
): NonNullable<CephClusterStatus['storage']> {
  const total = findings.storage.reduce((sum, node) => sum + (node.devices?.length ?? 0), 0);
  const nodes =
    total <= maxDevices
      ? findings.storage
      : findings.storage.map((node) => ({
          ...node,
          devices: node.devices?.filter((device) => device.reason !== 'OsdRunning').slice(0, 24),
        }));
  const osds = findings.health?.status.osds.total;
  return {
    ...before.storage,
    nodes: [...nodes],
    ...(findings.health && { deviceClasses: findings.health.deviceClasses.map((name) => ({ name })) }),
    ...(osds !== undefined && { osd: { ...before.storage?.osd, storeType: { bluestore: osds } } }),
  };
}

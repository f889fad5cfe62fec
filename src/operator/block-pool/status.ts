import type { CephBlockPool, CephBlockPoolStatus } from '../../api/ceph/ceph-block-pool.ts';
import type { Reason } from '../../api/reasons.ts';
import { setCondition, type Condition, type ConditionUpdate } from '../../control/conditions.ts';
import { noLongerStandingBack, standingBack } from '../ceph-cluster/rook-operator.ts';
import type { Problem } from '../ceph-cluster/work.ts';
import { nameFields } from '../not-honoured.ts';

/** What one reconcile of a pool found. */
export interface PoolFindings {
  readonly problems: readonly Problem[];
  readonly notHonoured: readonly string[];
  readonly refused?: readonly Problem[];
  readonly pool?: { readonly id: number; readonly failureDomain: string };
  readonly wait?: { readonly reason: Reason; readonly message: string };
  readonly ready?: boolean;
  readonly clean?: boolean;
}

type Conditions = NonNullable<CephBlockPoolStatus['conditions']>;

/** The status that follows from the findings and from what stood there before. Pure. */
export function poolStatus(pool: CephBlockPool, found: PoolFindings, nowMs: number): CephBlockPoolStatus {
  const before = pool.status ?? {};
  const generation = pool.metadata?.generation;
  if (found.wait?.reason === 'RookOperatorActive') {
    const conditions = standingBack(before.conditions as Condition[] | undefined, found.wait.message, nowMs);
    return { ...before, conditions: conditions as Conditions };
  }
  const { phase, reason, message } = summary(found);
  const updates: ConditionUpdate[] = [
    ...noLongerStandingBack(before.conditions),
    { type: 'Ready', status: phase === 'Ready', reason, message },
    { type: 'Progressing', status: phase === 'Progressing', reason, message },
  ];
  const had = (type: string) => before.conditions?.some((one) => one.type === type) ?? false;
  if (phase === 'Failure' || had('Failure'))
    updates.push({ type: 'Failure', status: phase === 'Failure', reason, message });
  const fields = [
    ...found.notHonoured,
    ...(found.refused ?? []).map((one) => `${one.field.replace(/^spec\./, '')} (${one.message})`),
  ];
  if (fields.length > 0 || had('FieldsNotHonoured'))
    updates.push({
      type: 'FieldsNotHonoured',
      status: fields.length > 0,
      reason: fields.length > 0 ? 'FieldsNotHonoured' : 'AllFieldsHonoured',
      message:
        fields.length > 0 ? `This release does not act on ${nameFields(fields)}` : 'Every field is acted on',
    });
  let conditions = before.conditions as Condition[] | undefined;
  for (const update of updates)
    conditions = setCondition(conditions, { ...update, observedGeneration: generation }, nowMs);
  return {
    ...before,
    observedGeneration: generation,
    phase,
    message,
    conditions: [...(conditions ?? [])] as Conditions,
    ...(found.pool && {
      poolID: found.pool.id,
      info: { ...before.info, type: 'Replicated', failureDomain: found.pool.failureDomain },
    }),
  };
}

function summary(found: PoolFindings): {
  phase: 'Ready' | 'Progressing' | 'Failure';
  reason: Reason;
  message: string;
} {
  if (found.problems.length > 0)
    return {
      phase: 'Failure',
      reason: 'SpecInvalid',
      message: found.problems.map((problem) => `${problem.field} ${problem.message}`).join('; '),
    };
  if (found.ready)
    return { phase: 'Ready', reason: 'PoolCreated', message: 'The pool is there, and a write went through' };
  const wait = found.wait ?? { reason: 'ReconcileStarted' as const, message: 'Bringing the pool up' };
  return { phase: 'Progressing', ...wait };
}

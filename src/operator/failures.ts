import { keyOf, refOf, type Resource, type Stored } from '../api/resource.ts';
import type { Reason } from '../api/reasons.ts';
import { hasCondition, setCondition, type Condition, type ConditionUpdate } from '../control/conditions.ts';
import { done, type Outcome } from '../control/outcome.ts';
import type { ReconcileContext, Reconciler } from '../control/reconciler.ts';
import { writeStatus } from '../control/status.ts';
import type { KubeClient } from '../kube/client.ts';
import { isConflict } from '../kube/errors.ts';
import type { EventRecorder } from '../kube/events.ts';
import type { Clock } from '../lib/clock.ts';
import { isDeadlineError } from '../lib/deadline.ts';
import type { Newsworthy } from './news.ts';

export interface FailureDeps<T extends Newsworthy> {
  readonly resource: Resource<T>;
  readonly kube: KubeClient;
  readonly events: Pick<EventRecorder, 'event'>;
  readonly clock: Clock;
}

/** Most failures are over with the next try, and nobody needs to hear of them. */
const quietMs = 5_000;
/** How often another text of a failure that lasts is written: each write brings another look. */
const againMs = 60_000;
const writeMs = 5_000;

interface Failing {
  readonly sinceMs: number;
  saidAtMs?: number;
}

/**
 * The same reconciler; where it goes on throwing, the object itself says so: by the condition `Reconciled`
 * and a Warning event with the error's words. A log is read only by who knows that there is something to read.
 */
export function tellsFailures<T extends Newsworthy>(
  reconciler: Reconciler<T>,
  deps: FailureDeps<T>,
): Reconciler<T> {
  const failing = new Map<string, Failing>(); // By name.
  const guarded =
    (step: (object: Stored<T>, context: ReconcileContext) => Promise<Outcome>) =>
    async (object: Stored<T>, context: ReconcileContext): Promise<Outcome> => {
      const name = keyOf(refOf(object));
      try {
        const outcome = await step(object, context);
        failing.delete(name);
        if (hasCondition(conditionsOf(object), 'Reconciled', 'False')) await sayWell(deps, object, context);
        return outcome;
      } catch (error) {
        // A stop is no failure, and a lost race is how compare-and-swap works.
        const stopped = context.signal.aborted && !isDeadlineError(context.signal.reason);
        if (stopped || isConflict(error)) throw error;
        const now = deps.clock.now();
        const state = failing.get(name) ?? { sinceMs: now };
        failing.set(name, state);
        const due = now - state.sinceMs >= quietMs && now - (state.saidAtMs ?? -againMs) >= againMs;
        if (due) {
          state.saidAtMs = now;
          await sayFailed(deps, object, error, context);
        }
        throw error;
      }
    };
  const { finalize } = reconciler;
  return {
    ...reconciler,
    reconcile: guarded((object, context) => reconciler.reconcile(object, context)),
    ...(finalize && { finalize: guarded((object, context) => finalize.call(reconciler, object, context)) }),
    async gone(ref, context) {
      failing.delete(keyOf(ref));
      return (await reconciler.gone?.(ref, context)) ?? done;
    },
  };
}

const conditionsOf = ({ status }: Newsworthy) => status?.conditions as Condition[] | undefined;

async function sayFailed<T extends Newsworthy>(
  deps: FailureDeps<T>,
  object: Stored<T>,
  error: unknown,
  { log }: ReconcileContext,
): Promise<void> {
  const reason = 'ReconcileFailed' satisfies Reason;
  const message = `A step failed and is tried again: ${error instanceof Error ? error.message : String(error)}`;
  deps.events.event(object, 'Warning', reason, message);
  try {
    // Its own time: the turn that failed may have none left.
    const signal = AbortSignal.timeout(writeMs);
    await say(deps, object, { type: 'Reconciled', status: false, reason, message }, signal);
  } catch (err) {
    log.debug({ err, object: refOf(object) }, 'the failure could not be written into the status');
  }
}

async function sayWell<T extends Newsworthy>(
  deps: FailureDeps<T>,
  object: Stored<T>,
  { signal }: ReconcileContext,
): Promise<void> {
  const reason = 'ReconcileSucceeded' satisfies Reason;
  const message = 'The step that failed went through';
  await say(deps, object, { type: 'Reconciled', status: true, reason, message }, signal);
}

async function say<T extends Newsworthy>(
  { kube, resource, clock }: FailureDeps<T>,
  object: Stored<T>,
  update: ConditionUpdate,
  signal: AbortSignal,
): Promise<void> {
  const withCondition = (current: Stored<T>) =>
    ({
      ...current.status,
      conditions: setCondition(conditionsOf(current), update, clock.now()),
    }) as NonNullable<T['status']>;
  await writeStatus(kube, resource, object, withCondition, { signal });
}

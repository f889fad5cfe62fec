import { withDeadline } from '../lib/deadline.ts';
import { keyedLock } from '../lib/keyed-lock.ts';

/**
 * Runs a call with its name or volume id held: the same request comes again while the first one runs, and must not
 * run beside it. LockTakenError, which becomes Aborted, says what holds it. `body` has the call's time limit.
 */
export type HoldCall = <T>(
  key: string,
  what: string,
  signal: AbortSignal,
  body: (signal: AbortSignal) => Promise<T>,
) => Promise<T>;

export function heldCalls(now: () => number, timeoutMs: number): HoldCall {
  const locks = keyedLock(now);
  return async (key, what, signal, body) => {
    using _held = locks.take(key, what);
    return await withDeadline(what, timeoutMs, signal, body);
  };
}

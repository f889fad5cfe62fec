import type { Clock } from '../../lib/clock.ts';
import { cephError, cephErrorFromCode } from '../errno.ts';
import { isCephError, type CephError } from '../errors.ts';

/** One call on its way: waiting in the queue, then running in the child. */
export interface Call {
  readonly operation: string;
  readonly args: readonly unknown[];
  /** The name in errors. */
  readonly label: string;
  readonly timeoutMs: number;
  readonly enqueuedAtMs: number;
  /** Ends the limit on waiting; the limit on running begins. */
  readonly waiting: AbortController;
  /** Set once the caller has its answer; a call in flight then still holds its thread. */
  settled: boolean;
  settle(outcome: { readonly result: unknown } | { readonly error: unknown }): void;
}

export const timedOut = (call: Pick<Call, 'label' | 'timeoutMs'>): CephError =>
  cephError('ETIMEDOUT', call.label, `no answer within ${call.timeoutMs} ms`);

export const closed = ({ label }: Pick<Call, 'label'>): CephError =>
  cephErrorFromCode(108, label, 'this connection was closed');

export const lost = ({ label }: Call): CephError =>
  cephError('ENOTCONN', label, 'the broker ended during the call');

/** Each waiting call fails as itself, with the reason why there is no connection. */
export function notConnected({ label }: Call, error: unknown): CephError {
  if (!isCephError(error)) return cephError('ENOTCONN', label, 'the broker could not be started');
  return cephErrorFromCode(error.errno, label, `no connection: ${error.text || error.errnoName}`);
}

/** Puts a call at the end of the queue, where its time limit and its caller's signal can still take it out. */
export function enqueue(
  wanted: Pick<Call, 'operation' | 'args' | 'label' | 'timeoutMs'>,
  { signal, clock, queue, pump }: { signal: AbortSignal; clock: Clock; queue: Call[]; pump: () => void },
): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const call: Call = {
      ...wanted,
      enqueuedAtMs: clock.now(),
      waiting: new AbortController(),
      settled: false,
      settle(outcome) {
        if (call.settled) return;
        call.settled = true;
        call.waiting.abort();
        signal.removeEventListener('abort', onAbort);
        if ('error' in outcome) reject(outcome.error as Error);
        else resolve(outcome.result);
      },
    };
    const leave = (error: unknown) => {
      const at = queue.indexOf(call);
      if (at >= 0) queue.splice(at, 1);
      call.settle({ error });
    };
    const onAbort = () => leave(signal.reason);
    signal.addEventListener('abort', onAbort, { once: true });
    void clock.sleep(wanted.timeoutMs, call.waiting.signal).then(
      () => leave(timedOut(call)),
      () => undefined,
    );
    queue.push(call);
    pump();
  });
}

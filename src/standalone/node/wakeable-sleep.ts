import type { Clock } from '../../lib/clock.ts';

/** A loop's pause that news, or the loop's end, cuts short. */
export interface WakeableSleep extends Disposable {
  /** Ends the pause under way, or keeps the next one from beginning. */
  wake(): void;
  /** Forgets the wakes so far: called before a loop looks at what they were about. */
  arm(): void;
  /** Resolves after `ms`, at a wake, or when the signal aborts; never rejects. */
  sleep(ms: number): Promise<void>;
}

/**
 * One listener on the signal for a loop's whole life: AbortSignal.any for each pause would leave
 * something behind on a signal that lives as long as the process.
 */
export function wakeableSleep(clock: Clock, signal: AbortSignal): WakeableSleep {
  let woken = false;
  let pause: AbortController | undefined;
  const wake = () => {
    woken = true;
    pause?.abort();
  };
  signal.addEventListener('abort', wake, { once: true });
  return {
    wake,
    arm() {
      woken = false;
    },
    async sleep(ms) {
      if (woken || signal.aborted || ms <= 0) return;
      pause = new AbortController();
      await clock.sleep(ms, pause.signal).catch(() => undefined);
      pause = undefined;
    },
    [Symbol.dispose]: () => signal.removeEventListener('abort', wake),
  };
}

/** A controller that aborts with the signal too, until it is disposed of. */
export function linkedAbort(signal: AbortSignal): AbortController & Disposable {
  const own = new AbortController();
  const onAbort = () => own.abort(signal.reason);
  if (signal.aborted) onAbort();
  else signal.addEventListener('abort', onAbort, { once: true });
  return Object.assign(own, { [Symbol.dispose]: () => signal.removeEventListener('abort', onAbort) });
}

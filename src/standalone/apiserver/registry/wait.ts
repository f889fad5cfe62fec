import type { Clock } from '../../../lib/clock.ts';

/** How to be told of something: takes a listener, gives back how to stop. */
export type Subscribe = (listener: () => void) => () => void;

/**
 * Resolves when `isDone` holds after one of the things subscribed to (true), or after `waitMs` (false).
 * Rejects with the signal's reason. No wait: forever.
 */
export function waitFor(
  clock: Clock,
  subscribe: Subscribe,
  isDone: () => boolean,
  waitMs: number | undefined,
  signal: AbortSignal,
): Promise<boolean> {
  if (isDone()) return Promise.resolve(true);
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(signal.reason as Error);
    const timer = new AbortController();
    const end = (act: () => void) => {
      stop();
      signal.removeEventListener('abort', onAbort);
      timer.abort(new Error('no longer needed'));
      act();
    };
    const onAbort = () => end(() => reject(signal.reason as Error));
    const stop = subscribe(() => {
      if (isDone()) end(() => resolve(true));
    });
    signal.addEventListener('abort', onAbort, { once: true });
    if (waitMs !== undefined)
      clock.sleep(Math.max(0, waitMs), timer.signal).then(
        () => end(() => resolve(false)),
        () => undefined,
      );
  });
}

/** Resolves at the next thing subscribed to, after `waitMs`, or when the signal aborts: never rejects. */
export async function nextOf(
  clock: Clock,
  subscribe: Subscribe,
  waitMs: number | undefined,
  signal: AbortSignal,
): Promise<void> {
  let told = false;
  const once: Subscribe = (listener) =>
    subscribe(() => {
      told = true;
      listener();
    });
  await waitFor(clock, once, () => told, waitMs, signal).catch(() => undefined);
}

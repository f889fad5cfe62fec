import { done, requeueAfter, type Outcome } from '../../control/outcome.ts';
import { backoffMs } from '../../lib/backoff.ts';
import { describeFailure } from './controller-calls.ts';

/** Delays before the next try of each thing that failed, growing from 1 s. */
export interface RetryDelays {
  /**
   * Tries what `key` stands for. A failure is told to `onFailure` with how long the next try will wait, in
   * milliseconds; it is thrown only where `signal` aborted, for then nothing failed.
   */
  attempt(
    key: string,
    signal: AbortSignal,
    body: () => Promise<void>,
    onFailure: (reason: string, afterMs: number) => void | Promise<void>,
  ): Promise<Outcome>;
  /** The next failure of `key` counts as its first. */
  reset(key: string): void;
}

const maxKeys = 10_000;

/**
 * What is wrong with a claim (no pool yet, no secret, another node has the image) is often mended within
 * seconds by someone who tells us nothing, so it is looked at again soon and for ever, but never in a storm.
 */
export function retryDelays(maxMs = 30_000, random: () => number = Math.random): RetryDelays {
  const failures = new Map<string, number>();
  const delayAfterFailure = (key: string): number => {
    const attempt = failures.get(key) ?? 0;
    failures.delete(key);
    failures.set(key, attempt + 1);
    const [oldest] = failures.keys();
    if (failures.size > maxKeys && oldest !== undefined) failures.delete(oldest);
    return Math.round(backoffMs(attempt, { baseMs: 1_000, maxMs, jitter: 0.2, random }));
  };
  return {
    async attempt(key, signal, body, onFailure) {
      try {
        await body();
      } catch (error) {
        signal.throwIfAborted();
        const afterMs = delayAfterFailure(key);
        await onFailure(describeFailure(error), afterMs);
        return requeueAfter(afterMs);
      }
      failures.delete(key);
      return done;
    },
    reset: (key) => void failures.delete(key),
  };
}

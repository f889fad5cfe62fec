import { backoffMs } from '../../lib/backoff.ts';

/** Delays before the next try of each thing that failed, growing from 1 s. */
export interface RetryDelays {
  /** Counts one more failure of `key` and answers how long to wait, in milliseconds. */
  failed(key: string): number;
  succeeded(key: string): void;
}

const maxKeys = 10_000;

/**
 * What is wrong with a claim (no pool yet, no secret, another node has the image) is often mended within
 * seconds by someone who tells us nothing, so it is looked at again soon and for ever, but never in a storm.
 */
export function retryDelays(random: () => number = Math.random, maxMs = 30_000): RetryDelays {
  const failures = new Map<string, number>();
  return {
    failed(key) {
      const attempt = failures.get(key) ?? 0;
      failures.delete(key);
      failures.set(key, attempt + 1);
      const [oldest] = failures.keys();
      if (failures.size > maxKeys && oldest !== undefined) failures.delete(oldest);
      return Math.round(backoffMs(attempt, { baseMs: 1_000, maxMs, jitter: 0.2, random }));
    },
    succeeded: (key) => void failures.delete(key),
  };
}

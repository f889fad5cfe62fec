export interface BackoffOptions {
  readonly baseMs: number;
  readonly maxMs: number;
  readonly factor?: number;
  /** Fraction of the delay that is random, 0 to 1. */
  readonly jitter?: number;
  readonly random?: () => number;
}

/** The delay before retry number `attempt` (0 is the first retry), in milliseconds. */
export function backoffMs(attempt: number, options: BackoffOptions): number {
  const { baseMs, maxMs, factor = 2, jitter = 0, random = Math.random } = options;
  const full = Math.min(maxMs, baseMs * factor ** Math.min(attempt, 60));
  return full * (1 - jitter * random());
}

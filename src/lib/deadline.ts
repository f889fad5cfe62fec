/** Thrown when a call outlived its time limit. */
export class DeadlineError extends Error {
  readonly code = 'DEADLINE_EXCEEDED';
  readonly what: string;
  readonly timeoutMs: number;

  /** `lastSeen` is the state it stayed in, where that is known. */
  constructor(what: string, timeoutMs: number, lastSeen?: string) {
    super(`${what} did not finish within ${timeoutMs} ms${lastSeen === undefined ? '' : `; ${lastSeen}`}`);
    this.name = 'DeadlineError';
    this.what = what;
    this.timeoutMs = timeoutMs;
  }
}

export const isDeadlineError = (error: unknown): error is DeadlineError => error instanceof DeadlineError;

/**
 * Runs `body` with a signal that aborts when the caller's does or after `timeoutMs`.
 * Rejects with DeadlineError (or the caller's reason) even where `body` ignores its signal.
 */
export async function withDeadline<T>(
  what: string,
  timeoutMs: number,
  signal: AbortSignal | undefined,
  body: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  signal?.throwIfAborted();
  const own = new AbortController();
  const onAbort = () => own.abort(signal?.reason);
  signal?.addEventListener('abort', onAbort, { once: true });
  const timer = setTimeout(() => own.abort(new DeadlineError(what, timeoutMs)), timeoutMs);
  const aborted = new Promise<never>((_, reject) => {
    own.signal.addEventListener('abort', () => reject(own.signal.reason as Error), { once: true });
  });
  aborted.catch(() => undefined);
  try {
    return await Promise.race([body(own.signal), aborted]);
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener('abort', onAbort);
  }
}

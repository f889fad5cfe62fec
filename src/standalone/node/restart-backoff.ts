const firstDelayMs = 10_000;
const maxDelayMs = 300_000;
const resetAfterMs = 600_000;

interface Entry {
  readonly delayMs: number;
  readonly updatedAtMs: number;
}

/**
 * Kubernetes' crash-loop backoff: the first restart is at once, the next waits 10 s after the exit,
 * doubling to 300 s; forgotten once nothing was restarted for 10 minutes.
 */
export interface RestartBackoff {
  /** When a container that ended at `finishedAtMs` may be started again, where that is later than `nowMs`. */
  heldUntilMs(key: string, finishedAtMs: number, nowMs: number): number | undefined;
  /** The container is being started again. */
  restarted(key: string, nowMs: number): void;
  forget(key: string): void;
}

export function restartBackoff(): RestartBackoff {
  const entries = new Map<string, Entry>();
  const live = (key: string, nowMs: number) => {
    const entry = entries.get(key);
    return entry && nowMs - entry.updatedAtMs <= resetAfterMs ? entry : undefined;
  };
  return {
    heldUntilMs(key, finishedAtMs, nowMs) {
      const entry = live(key, finishedAtMs);
      if (!entry) return undefined;
      const untilMs = finishedAtMs + entry.delayMs;
      return untilMs > nowMs ? untilMs : undefined;
    },
    restarted(key, nowMs) {
      const entry = live(key, nowMs);
      const delayMs = entry ? Math.min(entry.delayMs * 2, maxDelayMs) : firstDelayMs;
      entries.set(key, { delayMs, updatedAtMs: nowMs });
    },
    forget: (key) => void entries.delete(key),
  };
}

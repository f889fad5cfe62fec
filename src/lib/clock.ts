/** Time, passed in, so that tests step it instead of sleeping. */
export interface Clock {
  /** Milliseconds since the epoch. */
  now(): number;
  /** Resolves after `ms`; rejects with the signal's reason when it aborts first. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}

export const systemClock: Clock = {
  now: () => Date.now(),
  sleep: (ms, signal) =>
    new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason as Error);
      const timer = setTimeout(() => {
        signal?.removeEventListener('abort', onAbort);
        resolve();
      }, ms);
      const onAbort = () => {
        clearTimeout(timer);
        reject(signal?.reason as Error);
      };
      signal?.addEventListener('abort', onAbort, { once: true });
    }),
};

/** A clock that stands still until `advance` moves it. */
export interface VirtualClock extends Clock {
  /** Moves time by `ms`, waking sleepers in order and letting each one's continuations run. */
  advance(ms: number): Promise<void>;
  /** How many sleepers wait. */
  readonly sleeping: number;
}

export function virtualClock(startMs = Date.UTC(2026, 0, 1)): VirtualClock {
  let nowMs = startMs;
  let order = 0;
  const sleepers = new Map<number, { dueMs: number; order: number; wake: () => void }>();
  const settle = async () => {
    for (let turn = 0; turn < 20; turn++) await Promise.resolve();
    await new Promise((resolve) => setImmediate(resolve));
  };
  return {
    now: () => nowMs,
    sleep: (ms, signal) =>
      new Promise((resolve, reject) => {
        if (signal?.aborted) return reject(signal.reason as Error);
        const id = order++;
        const onAbort = () => {
          sleepers.delete(id);
          reject(signal?.reason as Error);
        };
        signal?.addEventListener('abort', onAbort, { once: true });
        sleepers.set(id, {
          dueMs: nowMs + ms,
          order: id,
          wake: () => {
            signal?.removeEventListener('abort', onAbort);
            resolve();
          },
        });
      }),
    async advance(ms) {
      const endMs = nowMs + ms;
      await settle();
      for (;;) {
        const next = [...sleepers]
          .filter(([, sleeper]) => sleeper.dueMs <= endMs)
          .sort(([, a], [, b]) => a.dueMs - b.dueMs || a.order - b.order)[0];
        if (!next) break;
        const [id, sleeper] = next;
        nowMs = Math.max(nowMs, sleeper.dueMs);
        sleepers.delete(id);
        sleeper.wake();
        await settle();
      }
      nowMs = endMs;
      await settle();
    },
    get sleeping() {
      return sleepers.size;
    },
  };
}

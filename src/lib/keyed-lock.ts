/** Thrown by `take` where the key is held; says what holds it and since when. */
export class LockTakenError extends Error {
  readonly code = 'LOCK_TAKEN';
  readonly key: string;
  readonly heldBy: string;
  readonly sinceMs: number;

  constructor(key: string, heldBy: string, sinceMs: number) {
    super(`${key} is held by ${heldBy}`);
    this.name = 'LockTakenError';
    this.key = key;
    this.heldBy = heldBy;
    this.sinceMs = sinceMs;
  }
}

export const isLockTaken = (error: unknown): error is LockTakenError => error instanceof LockTakenError;

export interface KeyedLock {
  /** Takes the key at once or throws LockTakenError; dispose gives it back. */
  take(key: string, holder?: string): Disposable;
  /** Waits for the key, first come first served. */
  acquire(key: string, signal: AbortSignal): Promise<Disposable>;
  /** Runs `body` with the key held. */
  run<T>(key: string, signal: AbortSignal, body: () => Promise<T>): Promise<T>;
}

export function keyedLock(now: () => number = Date.now): KeyedLock {
  const held = new Map<string, { holder: string; sinceMs: number; waiters: (() => void)[] }>();
  const release = (key: string): Disposable => {
    let given = false;
    return {
      [Symbol.dispose]() {
        if (given) return;
        given = true;
        const next = held.get(key)?.waiters.shift();
        if (next) next();
        else held.delete(key);
      },
    };
  };
  const lock: KeyedLock = {
    take(key, holder = 'another call') {
      const entry = held.get(key);
      if (entry) throw new LockTakenError(key, entry.holder, entry.sinceMs);
      held.set(key, { holder, sinceMs: now(), waiters: [] });
      return release(key);
    },
    async acquire(key, signal) {
      signal.throwIfAborted();
      const entry = held.get(key);
      if (!entry) {
        held.set(key, { holder: 'another call', sinceMs: now(), waiters: [] });
        return release(key);
      }
      await new Promise<void>((resolve, reject) => {
        const waiter = () => {
          signal.removeEventListener('abort', onAbort);
          resolve();
        };
        const onAbort = () => {
          entry.waiters.splice(entry.waiters.indexOf(waiter), 1);
          reject(signal.reason as Error);
        };
        signal.addEventListener('abort', onAbort, { once: true });
        entry.waiters.push(waiter);
      });
      return release(key);
    },
    async run(key, signal, body) {
      using _held = await lock.acquire(key, signal);
      return await body();
    },
  };
  return lock;
}

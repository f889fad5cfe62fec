import { backoffMs } from '../lib/backoff.ts';
import type { Clock } from '../lib/clock.ts';
import { createDueHeap } from './due-heap.ts';

export interface WorkQueueOptions {
  readonly clock: Clock;
  /** Of the first retry; it doubles with each failure. */
  readonly baseDelayMs?: number;
  readonly maxDelayMs?: number;
  readonly random?: () => number;
  /** Told how long each name waited for a worker, in milliseconds. */
  readonly onTaken?: (waitedMs: number) => void;
}

/**
 * Names to look at. A name is in it once however often it is added; while one worker has it, nobody
 * else gets it, and an addition meanwhile brings it back when that worker is done.
 */
export interface WorkQueue {
  add(name: string): void;
  /** Adds after `ms`; of several, the earliest counts. */
  addAfter(name: string, ms: number): void;
  /** Adds after the name's own backoff, which grows with each call until `forget`. */
  addAfterFailure(name: string): number;
  /** The name did well: its next failure starts at the first delay again. */
  forget(name: string): void;
  /** The next name, or undefined once the queue is closed. */
  take(): Promise<string | undefined>;
  /** The worker is done with the name. */
  release(name: string): void;
  /** No more names are given; those being worked on go on. */
  close(): void;
  readonly ready: number;
  readonly working: number;
  readonly delayed: number;
  readonly failing: number;
}

export function createWorkQueue(options: WorkQueueOptions): WorkQueue {
  const { clock, baseDelayMs = 5, maxDelayMs = 300_000, random = Math.random } = options;
  const names = createNames(options);
  const delays = createDelays(clock, names.add);
  const failures = new Map<string, number>();

  const addAfter = (name: string, ms: number) => {
    if (names.isClosed()) return;
    if (ms <= 0) names.add(name);
    // A name that waits anyway is looked at sooner than that.
    else if (!names.isReady(name)) delays.set(name, clock.now() + ms);
  };
  return {
    add(name) {
      delays.drop(name); // Looking now answers the later wish too.
      names.add(name);
    },
    addAfter,
    addAfterFailure(name) {
      const count = failures.get(name) ?? 0;
      failures.set(name, count + 1);
      const delayMs = backoffMs(count, { baseMs: baseDelayMs, maxMs: maxDelayMs, jitter: 0.1, random });
      addAfter(name, delayMs);
      return delayMs;
    },
    forget(name) {
      failures.delete(name);
    },
    take: names.take,
    release: names.release,
    close() {
      names.close();
      delays.close();
    },
    get ready() {
      return names.ready();
    },
    get working() {
      return names.working();
    },
    get delayed() {
      return delays.size;
    },
    get failing() {
      return failures.size;
    },
  };
}

/** The names that wait and those being worked on. */
function createNames({ clock, onTaken }: WorkQueueOptions) {
  /** In order, with the time since when. */
  const ready = new Map<string, number>();
  /** True where the name is to come back. */
  const working = new Map<string, boolean>();
  const takers: ((name: string | undefined) => void)[] = [];
  let closed = false;

  const start = (name: string, sinceMs: number) => {
    working.set(name, false);
    onTaken?.(clock.now() - sinceMs);
  };
  const add = (name: string) => {
    if (closed || ready.has(name)) return;
    if (working.has(name)) {
      working.set(name, true);
      return;
    }
    const taker = takers.shift();
    if (taker) {
      start(name, clock.now());
      taker(name);
    } else {
      ready.set(name, clock.now());
    }
  };
  return {
    add,
    take(): Promise<string | undefined> {
      const next = ready.entries().next();
      if (!next.done) {
        const [name, sinceMs] = next.value;
        ready.delete(name);
        start(name, sinceMs);
        return Promise.resolve(name);
      }
      if (closed) return Promise.resolve(undefined);
      return new Promise((resolve) => takers.push(resolve));
    },
    release(name: string) {
      const again = working.get(name);
      if (again === undefined) throw new Error(`${name} is not being worked on`);
      working.delete(name);
      if (again) add(name);
    },
    close() {
      closed = true;
      ready.clear();
      for (const taker of takers.splice(0)) taker(undefined);
    },
    isClosed: () => closed,
    isReady: (name: string) => ready.has(name),
    ready: () => ready.size,
    working: () => working.size,
  };
}

/** Names with the time they are due, one sleeper for the earliest of them. */
function createDelays(clock: Clock, onDue: (name: string) => void) {
  const heap = createDueHeap();
  let sleeper: { readonly dueMs: number; readonly stop: AbortController } | undefined;

  const arm = () => {
    const dueMs = heap.earliestMs();
    if (dueMs === sleeper?.dueMs) return;
    sleeper?.stop.abort(new Error('another name is due earlier'));
    sleeper = undefined;
    if (dueMs === undefined) return;
    const mine = { dueMs, stop: new AbortController() };
    sleeper = mine;
    // A timer takes at most 24 days; a longer wait is taken in pieces.
    const waitMs = Math.min(Math.max(0, dueMs - clock.now()), 86_400_000);
    clock.sleep(waitMs, mine.stop.signal).then(
      () => {
        if (sleeper === mine) sleeper = undefined;
        for (const name of heap.takeDue(clock.now())) onDue(name);
        arm();
      },
      () => undefined, // Stopped for an earlier one.
    );
  };
  return {
    get size() {
      return heap.size;
    },
    set(name: string, dueMs: number) {
      if (heap.set(name, dueMs)) arm();
    },
    drop(name: string) {
      // The sleeper may wake for nothing; that is cheaper than to arm it anew at each addition.
      heap.drop(name);
    },
    close() {
      heap.clear();
      arm();
    },
  };
}

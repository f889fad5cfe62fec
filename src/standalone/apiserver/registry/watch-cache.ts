import type { Clock } from '../../../lib/clock.ts';
import type { Logger } from '../../../lib/log.ts';
import type { ApiObject } from '../kind.ts';
import type { Store, StoreBatch, StoreEntry, StoreEvent } from '../store/store.ts';
import { kindCache, type KindCache, type WritableKindCache } from './kind-cache.ts';
import { waitFor, type Subscribe } from './wait.ts';
import { decode, fullKey, root, splitKey, type StorageName } from './storage-form.ts';

/** What one write of ours made of one object. */
export interface OwnWrite {
  readonly storage: StorageName;
  readonly local: string;
  /** Undefined where it was removed. */
  readonly object: ApiObject | undefined;
}

/**
 * Everything in the store, held in memory by one list and one watch. Reads come from here: a reader waits for
 * the revision of the last write that was answered, so nobody misses their own write, nor that of anyone
 * before them. A write of our own is taken in as soon as the store has answered it, if everything before it is
 * here: the watch would only bring it once more, and later.
 */
export interface WatchCache {
  of(storage: StorageName): KindCache;
  /** The revision up to which everything was seen. */
  readonly revision: number;
  /** Every stored kind that has or had objects. */
  storages(): readonly StorageName[];
  /** Tells the cache what was answered with this revision, its only change: later reads wait for it. */
  committed(revision: number, write: OwnWrite): void;
  /** Resolves when all answered writes are visible. Rejects after 10 s, or by the signal. */
  fresh(signal: AbortSignal): Promise<void>;
  /** Resolves true once `revision` was seen, false after `timeoutMs`. */
  reached(revision: number, timeoutMs: number, signal: AbortSignal): Promise<boolean>;
  /** Runs until the signal aborts. */
  readonly done: Promise<void>;
}

const pageSize = 500;
const freshTimeoutMs = 10_000;
const readAgainMs = 1_000;

interface Everything {
  readonly entries: readonly StoreEntry[];
  readonly revision: number;
}

export interface WatchCacheDeps {
  readonly store: Store;
  readonly clock: Clock;
  readonly log: Logger;
  readonly signal: AbortSignal;
}

async function readAll(store: Store, signal: AbortSignal): Promise<Everything> {
  const entries: StoreEntry[] = [];
  let after: string | undefined;
  let revision: number | undefined;
  for (;;) {
    const page = await store.list({ prefix: root, after, limit: pageSize, revision }, signal);
    revision = page.revision;
    for (const entry of page.entries) entries.push(entry);
    if (page.remaining <= 0 || page.entries.length === 0) return { entries, revision };
    after = page.entries.at(-1)?.key;
  }
}

/** All kinds' objects, changed by what comes from the store. */
function contents(log: Logger) {
  const caches = new Map<StorageName, WritableKindCache>();
  let loadedAt = 0;

  function cacheOf(storage: StorageName): WritableKindCache {
    let cache = caches.get(storage);
    if (!cache) caches.set(storage, (cache = kindCache(loadedAt)));
    return cache;
  }

  function put(entry: StoreEntry, how: 'load' | 'event'): void {
    const at = splitKey(entry.key);
    if (!at) return;
    try {
      const object = decode(entry.value, entry.revision);
      if (how === 'load') cacheOf(at.storage).load(at.local, object);
      else cacheOf(at.storage).put(at.local, object, entry.revision);
    } catch (err) {
      // One broken value must not take down every kind; it stays unreadable and is named.
      log.error({ err, key: entry.key }, 'stored object cannot be read');
    }
  }

  return {
    caches,
    cacheOf,
    load({ entries, revision }: Everything) {
      loadedAt = revision;
      for (const entry of entries) put(entry, 'load');
    },
    apply(event: StoreEvent) {
      const at = splitKey(event.key);
      if (event.type === 'put') put(event, 'event');
      else if (at) cacheOf(at.storage).remove(at.local, event.revision);
    },
    applyOwn({ storage, local, object }: OwnWrite, revision: number) {
      if (object) cacheOf(storage).put(local, object, revision);
      else cacheOf(storage).remove(local, revision);
    },
    /** Catches up over a gap that the watch cannot fill: what differs becomes events. */
    replace({ entries, revision }: Everything) {
      const present = new Set(entries.map(({ key }) => key));
      const changed = entries.filter((entry) => {
        const at = splitKey(entry.key);
        const known = at && caches.get(at.storage)?.get(at.local);
        return known?.metadata?.resourceVersion !== String(entry.revision);
      });
      for (const entry of changed.toSorted((a, b) => a.revision - b.revision)) put(entry, 'event');
      for (const [storage, cache] of caches)
        for (const local of cache.snapshot()?.keys ?? [])
          if (!present.has(fullKey(storage, local))) cache.remove(local, revision);
    },
  };
}

/**
 * Brings the store's changes into their order: those of the watch, and writes of our own as they are answered,
 * which may be before what the watch has yet to bring, and in any order.
 */
function inOrder(all: ReturnType<typeof contents>) {
  /** Answered, while something before it is still to come: by its own answer, or else by the watch. */
  const early = new Map<number, OwnWrite>();
  let revision = 0;

  function takeInOwn(): void {
    for (let write = early.get(revision + 1); write; write = early.get(revision + 1)) {
      early.delete(++revision);
      all.applyOwn(write, revision);
    }
  }
  function reach(to: number): void {
    for (const at of early.keys()) if (at <= to) early.delete(at);
    revision = Math.max(revision, to);
    takeInOwn();
  }

  return {
    /** Everything up to here has been taken in. */
    get revision() {
      return revision;
    },
    reach,
    /** Takes in what the watch brought; says whether any of it was new. */
    watched({ events, revision: to }: StoreBatch): boolean {
      if (to <= revision) return false; // Our own writes, all of them here already.
      for (const event of events) if (event.revision > revision) all.apply(event);
      reach(to);
      return true;
    },
    /** Takes in a write of ours, where its turn is now; says whether it was. */
    answered(at: number, write: OwnWrite): boolean {
      if (at <= revision) return false; // The watch was first.
      early.set(at, write);
      if (at > revision + 1) return false;
      takeInOwn();
      return true;
    },
  };
}

/** Loads the store and follows it. */
export async function startWatchCache(deps: WatchCacheDeps): Promise<WatchCache> {
  const { store, clock, log, signal } = deps;
  const all = contents(log);
  const waiters = new Set<() => void>();
  const order = inOrder(all);
  let floor = 0;

  function advance(): void {
    for (const cache of all.caches.values()) cache.flush();
    for (const wake of waiters) wake();
  }

  async function follow(): Promise<void> {
    while (!signal.aborted) {
      try {
        for await (const batch of store.watch(root, order.revision, signal))
          if (order.watched(batch)) advance();
      } catch (err) {
        if (signal.aborted) return;
        log.warn({ err }, 'the watch of the store ended; reading everything again');
        await readAgain();
      }
    }
  }

  async function readAgain(): Promise<void> {
    try {
      const everything = await readAll(store, signal);
      // Writes of our own were answered meanwhile: what is here is newer, and whole.
      if (everything.revision <= order.revision) return;
      all.replace(everything);
      order.reach(everything.revision);
      advance();
    } catch (err) {
      if (signal.aborted) return;
      log.error({ err }, 'the store cannot be read');
      await clock.sleep(readAgainMs, signal).catch(() => undefined);
    }
  }

  const onAdvance: Subscribe = (listener) => {
    waiters.add(listener);
    return () => waiters.delete(listener);
  };
  const reached = (target: number, timeoutMs: number, caller: AbortSignal) =>
    waitFor(clock, onAdvance, () => order.revision >= target, timeoutMs, caller);

  const first = await readAll(store, signal);
  all.load(first);
  order.reach(first.revision);
  return {
    of: all.cacheOf,
    get revision() {
      return order.revision;
    },
    storages: () => [...all.caches.keys()],
    committed(at, write) {
      floor = Math.max(floor, at);
      if (order.answered(at, write)) advance();
    },
    async fresh(caller) {
      if (order.revision >= floor) return;
      if (!(await reached(floor, freshTimeoutMs, caller))) throw new Error('the watch of the store lags');
    },
    reached,
    done: follow(),
  };
}

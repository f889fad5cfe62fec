import type { Clock } from '../../../lib/clock.ts';
import type { Logger } from '../../../lib/log.ts';
import type { Store, StoreBatch, StoreEntry } from '../store/store.ts';
import { kindCache, type KindCache, type WritableKindCache } from './kind-cache.ts';
import { waitFor, type Subscribe } from './wait.ts';
import { decode, fullKey, root, splitKey, type StorageName } from './storage-form.ts';

/**
 * Everything in the store, held in memory by one list and one watch. Reads come from here: this server is
 * the store's only writer, and a reader waits for the revision of the last write that was answered, so
 * nobody misses their own write, nor that of anyone before them.
 */
export interface WatchCache {
  of(storage: StorageName): KindCache;
  /** The revision up to which everything was seen. */
  readonly revision: number;
  /** Every stored kind that has or had objects. */
  storages(): readonly StorageName[];
  /** Tells the cache that a write was answered with this revision: later reads wait for it. */
  committed(revision: number): void;
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
    apply({ events }: StoreBatch) {
      for (const event of events) {
        const at = splitKey(event.key);
        if (event.type === 'put') put(event, 'event');
        else if (at) cacheOf(at.storage).remove(at.local, event.revision);
      }
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

/** Loads the store and follows it. */
export async function startWatchCache(deps: WatchCacheDeps): Promise<WatchCache> {
  const { store, clock, log, signal } = deps;
  const all = contents(log);
  const waiters = new Set<() => void>();
  let revision = 0;
  let floor = 0;

  function advance(to: number): void {
    revision = Math.max(revision, to);
    for (const cache of all.caches.values()) cache.flush();
    for (const wake of waiters) wake();
  }

  async function follow(): Promise<void> {
    while (!signal.aborted) {
      try {
        for await (const batch of store.watch(root, revision, signal)) {
          all.apply(batch);
          advance(batch.revision);
        }
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
      all.replace(everything);
      advance(everything.revision);
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
    waitFor(clock, onAdvance, () => revision >= target, timeoutMs, caller);

  const first = await readAll(store, signal);
  all.load(first);
  advance(first.revision);
  return {
    of: all.cacheOf,
    get revision() {
      return revision;
    },
    storages: () => [...all.caches.keys()],
    committed(at) {
      floor = Math.max(floor, at);
    },
    async fresh(caller) {
      if (revision >= floor) return;
      if (!(await reached(floor, freshTimeoutMs, caller))) throw new Error('the watch of the store lags');
    },
    reached,
    done: follow(),
  };
}

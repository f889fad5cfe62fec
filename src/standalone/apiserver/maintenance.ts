import type { Clock } from '../../lib/clock.ts';
import type { Logger } from '../../lib/log.ts';
import type { ApiObject } from './kind.ts';
import type { WatchCache } from './registry/watch-cache.ts';
import { fullKey } from './registry/storage-form.ts';
import { maxChanges, type Store, type StoreChange } from './store/store.ts';

const everyMs = 300_000;
const eventLifeMs = 3_600_000;

interface Timed {
  readonly lastTimestamp?: string | null;
  readonly eventTime?: string | null;
  readonly series?: { readonly lastObservedTime?: string };
}

function lastSeenMs(event: ApiObject): number {
  const { lastTimestamp, eventTime, series } = event as Timed;
  const times = [lastTimestamp, eventTime, series?.lastObservedTime, event.metadata?.creationTimestamp];
  return Math.max(0, ...times.map((time) => (time ? Date.parse(String(time)) : 0)).filter(Number.isFinite));
}

/** Deletes Events that nobody has seen again for an hour: else they would be most of the store. */
async function expireEvents(
  store: Store,
  cache: WatchCache,
  nowMs: number,
  signal: AbortSignal,
): Promise<number> {
  const snapshot = cache.of('core/events').snapshot();
  const old: StoreChange[] = [];
  for (const key of snapshot?.keys ?? []) {
    const event = snapshot?.get(key);
    if (event && lastSeenMs(event) < nowMs - eventLifeMs)
      old.push({ key: fullKey('core/events', key), expected: Number(event.metadata?.resourceVersion) });
  }
  let deleted = 0;
  for (let i = 0; i < old.length; i += maxChanges) {
    const batch = old.slice(i, i + maxChanges);
    // An event that was seen again meanwhile holds its batch back until the next time.
    if ((await store.commit(batch, signal)).committed) deleted += batch.length;
  }
  return deleted;
}

export interface MaintenanceDeps {
  readonly store: Store;
  readonly cache: WatchCache;
  readonly clock: Clock;
  readonly log: Logger;
}

/** Every five minutes: old Events go, and the store forgets what came before the last time. */
export async function maintain(
  { store, cache, clock, log }: MaintenanceDeps,
  signal: AbortSignal,
): Promise<void> {
  let before = cache.revision;
  while (!signal.aborted) {
    await clock.sleep(everyMs, signal).catch(() => undefined);
    if (signal.aborted) return;
    try {
      const expired = await expireEvents(store, cache, clock.now(), signal);
      const upTo = before;
      before = cache.revision;
      if (before > upTo) await store.compact(upTo, signal);
      if (expired > 0) log.debug({ expired }, 'old events deleted');
    } catch (err) {
      if (!signal.aborted) log.warn({ err }, 'maintenance of the store failed; it is tried again');
    }
  }
}

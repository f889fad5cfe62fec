import type { KubeObject, Resource } from '../api/resource.ts';
import type { Clock } from '../lib/clock.ts';
import type { Logger } from '../lib/log.ts';
import type { IndexFunctions } from './cache.ts';
import type { KubeClient, Selection } from './client.ts';
import { selectionKey } from './resource-path.ts';
import { createCache, type RunningCache } from './watch-cache.ts';

export interface CacheSetDeps {
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly log: Logger;
}

/** Caches shared by resource and selection: one watch each, however many ask. */
export interface CacheSet {
  /** The cache, started where it is not there yet; `indexes` are added to it by name. */
  cache<T extends KubeObject>(
    resource: Resource<T>,
    selection?: Selection,
    indexes?: IndexFunctions<T>,
  ): RunningCache<T>;
  /** Resolves when every cache there is now has its first list. */
  synced(signal: AbortSignal): Promise<void>;
  sizes(): Readonly<Record<string, number>>;
  close(): Promise<void>;
}

export function cacheSet({ client, clock, log }: CacheSetDeps): CacheSet {
  // Keyed by the resource that T belongs to, so the one cast below is sound.
  const caches = new Map<string, RunningCache<never>>();
  return {
    cache<T extends KubeObject>(
      resource: Resource<T>,
      selection: Selection = {},
      indexes?: IndexFunctions<T>,
    ) {
      const key = selectionKey(resource, selection);
      let cache = caches.get(key) as unknown as RunningCache<T> | undefined;
      if (!cache) {
        cache = createCache(client, resource, selection, { clock, log });
        caches.set(key, cache as unknown as RunningCache<never>);
      }
      if (indexes) cache.addIndexes(indexes);
      return cache;
    },
    async synced(signal) {
      await Promise.all([...caches.values()].map((cache) => cache.synced(signal)));
    },
    sizes: () => Object.fromEntries([...caches].map(([key, cache]) => [key, cache.size])),
    async close() {
      await Promise.all([...caches.values()].map((cache) => cache.stop()));
      caches.clear();
    },
  };
}

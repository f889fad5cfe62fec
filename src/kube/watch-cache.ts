import { keyOf, refOf, type KubeObject, type Resource, type Stored } from '../api/resource.ts';
import { cloneJson } from '../lib/clone-json.ts';
import type { Clock } from '../lib/clock.ts';
import type { Logger } from '../lib/log.ts';
import type { Cache, CacheChange, IndexFunctions } from './cache.ts';
import type { KubeClient, Selection } from './client.ts';
import { createObjectStore } from './object-store.ts';
import { isLater } from './resource-version.ts';
import { watchResource, type WatcherEvent } from './watcher.ts';

export interface CacheOptions<T extends KubeObject> {
  readonly indexes?: IndexFunctions<T>;
  readonly clock: Clock;
  readonly log: Logger;
  readonly random?: () => number;
}

/** A cache with the watcher that feeds it. */
export interface RunningCache<T extends KubeObject> extends Cache<T> {
  readonly hasSynced: boolean;
  readonly size: number;
  addIndexes(indexes: IndexFunctions<T>): void;
  /**
   * Takes in the answer of our own write before the watch brings it, so that the next look does not
   * miss it. What the watch has already passed is left alone.
   */
  remember(object: Stored<T>): void;
  /** Ends the watch; what is in the cache stays readable. */
  stop(): Promise<void>;
}

/** What a cache holds, and how each event of its watcher changes it. */
function createCacheState<T extends KubeObject>(onFailure: (error: unknown) => void) {
  const store = createObjectStore<T>();
  const handlers = new Set<(change: CacheChange<T>) => void>();
  let seenVersion = '';
  /** Names seen in a list that is under way. */
  let listed: Set<string> | undefined;

  const tell = (change: CacheChange<T>) => tellAll(handlers, change, onFailure);
  const take = (object: Stored<T>) => {
    const known = store.get(refOf(object));
    // Our own write, remembered, may be ahead of the watch; the watch never takes a step back.
    if (known && isLater(known.metadata.resourceVersion, object.metadata.resourceVersion)) return;
    const sameUid = known?.metadata.uid === object.metadata.uid;
    if (sameUid && known?.metadata.resourceVersion === object.metadata.resourceVersion) return;
    delete object.metadata.managedFields; // Often half of an object, and no reader of a cache wants it.
    store.set(object);
    if (known && !sameUid) {
      // Deleted and made again between two looks: whoever tracks uids needs to hear of both.
      tell({ type: 'deleted', object: known });
      tell({ type: 'added', object });
    } else {
      tell(known ? { type: 'changed', object, old: known } : { type: 'added', object });
    }
  };
  const drop = (object: Stored<T>) => {
    const old = store.remove(refOf(object));
    if (old) tell({ type: 'deleted', object, old });
  };
  const finishList = (resourceVersion: string) => {
    for (const object of store.values()) {
      if (listed?.has(keyOf(refOf(object)))) continue;
      // Written by us after the list's revision: the watch will tell of it.
      if (isLater(object.metadata.resourceVersion, resourceVersion)) continue;
      drop(object);
    }
    listed = undefined;
    seenVersion = resourceVersion;
  };
  const onEvent = (event: WatcherEvent<T>) => {
    switch (event.type) {
      case 'init':
        listed = new Set();
        return;
      case 'initApply':
        listed?.add(keyOf(refOf(event.object)));
        return take(event.object);
      case 'initDone':
        return finishList(event.resourceVersion);
      case 'progress':
        seenVersion = event.resourceVersion;
        return;
      case 'apply':
        seenVersion = event.object.metadata.resourceVersion;
        return take(event.object);
      case 'delete': {
        seenVersion = event.object.metadata.resourceVersion;
        const known = store.get(refOf(event.object));
        // The name was taken again, by a write of ours that the watch has yet to bring.
        if (known && isLater(known.metadata.resourceVersion, seenVersion)) return;
        delete event.object.metadata.managedFields;
        return drop(event.object);
      }
    }
  };
  const remember = (object: Stored<T>) => {
    if (!isLater(object.metadata.resourceVersion, seenVersion)) return;
    const { managedFields: _, ...metadata } = object.metadata; // As `take` drops them.
    take(cloneJson({ ...object, metadata }));
  };
  return { store, handlers, onEvent, remember };
}

/** One handler's throw keeps nothing from the others. */
function tellAll<T extends KubeObject>(
  handlers: Iterable<(change: CacheChange<T>) => void>,
  change: CacheChange<T>,
  onFailure: (error: unknown) => void,
): void {
  for (const handler of handlers) {
    try {
      handler(change);
    } catch (error) {
      onFailure(error);
    }
  }
}

/** Starts to watch at once. */
export function createCache<T extends KubeObject>(
  client: KubeClient,
  resource: Resource<T>,
  selection: Selection,
  options: CacheOptions<T>,
): RunningCache<T> {
  const { log, clock, random = Math.random } = options;
  const { store, handlers, onEvent, remember } = createCacheState<T>((error) =>
    log.error({ err: error, resource: resource.plural }, 'change handler failed'),
  );
  if (options.indexes) store.addIndexes(options.indexes);
  const stopping = new AbortController();
  let hasSynced = false;
  let listDone: () => void = () => undefined;
  const firstList = new Promise<void>((resolve) => {
    listDone = resolve;
  });
  const run = async () => {
    const watch = { clock, log, random, signal: stopping.signal };
    for await (const event of watchResource(client, resource, selection, watch)) {
      onEvent(event);
      if (event.type !== 'initDone') continue;
      hasSynced = true;
      listDone();
    }
  };
  const running = run();
  running.catch((error: unknown) => log.error({ err: error, resource: resource.plural }, 'cache ended'));

  return {
    get hasSynced() {
      return hasSynced;
    },
    get size() {
      return store.size;
    },
    synced: (signal) => waitFor(firstList, signal),
    get: (ref) => store.get(ref),
    list: (namespace) => store.values(namespace),
    byIndex: (index, value) => store.byIndex(index, value),
    addIndexes: (indexes) => store.addIndexes(indexes),
    onChange(handler) {
      handlers.add(handler);
      return {
        [Symbol.dispose]: () => {
          handlers.delete(handler);
        },
      };
    },
    remember,
    async stop() {
      stopping.abort(new Error('the cache was stopped'));
      await running.catch(() => undefined);
    },
  };
}

async function waitFor(promise: Promise<void>, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted();
  await new Promise<void>((resolve, reject) => {
    const onAbort = () => reject(signal.reason as Error);
    signal.addEventListener('abort', onAbort, { once: true });
    void promise.then(() => {
      signal.removeEventListener('abort', onAbort);
      resolve();
    });
  });
}

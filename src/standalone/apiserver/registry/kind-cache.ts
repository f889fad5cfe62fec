import { partitionPoint } from '../../../lib/partition-point.ts';
import type { ApiObject } from '../kind.ts';
import { atVersion } from './json.ts';

/** A change to one object, as watchers of its kind see it before selectors. */
export interface CacheEvent {
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED';
  readonly key: string;
  readonly revision: number;
  /** The new state; for DELETED the last state, at the revision of the deletion. */
  readonly object: ApiObject;
  readonly before: ApiObject | undefined;
}

/** A position in a kind's events. */
export type Cursor = number;

export interface Snapshot {
  /** In order. */
  readonly keys: readonly string[];
  get(key: string): ApiObject | undefined;
}

/**
 * All objects of one kind and their latest changes. One per stored kind, shared by every reader: a watcher
 * is only a cursor into `events`, so it costs nothing while it is slow, and is cut off when it fell behind
 * the oldest event kept.
 */
export interface KindCache {
  get(key: string): ApiObject | undefined;
  readonly size: number;
  /** The present, or the state as of an earlier revision; undefined where that is no longer known. */
  snapshot(revision?: number): Snapshot | undefined;
  /** Where events after `revision` begin; undefined where some of them are forgotten. */
  cursorAfter(revision: number): Cursor | undefined;
  /** Where events after the present begin. */
  cursorNow(): Cursor;
  /** Up to `limit` events from the cursor; undefined where the watcher is too slow. */
  read(cursor: Cursor, limit: number): readonly CacheEvent[] | undefined;
  /** Called after each batch that changed something here. Returns how to stop. */
  onChange(listener: () => void): () => void;
  /** The oldest revision from which a watch can start. */
  readonly oldestRevision: number;
}

export interface WritableKindCache extends KindCache {
  /** Part of the first load: no event. */
  load(key: string, object: ApiObject): void;
  put(key: string, object: ApiObject, revision: number): void;
  remove(key: string, revision: number): void;
  /** Tells the listeners; once a batch. */
  flush(): void;
}

/** Objects alone bound a kind's memory; of past changes this many are kept. */
const defaultMaxEvents = 4096;

/** Index of the first event after `revision`. */
const indexAfter = (events: readonly CacheEvent[], revision: number): number =>
  partitionPoint(events, (event) => event.revision <= revision);

/** The state before the events from `from` on: the present with them taken back, latest first. */
function undone(
  objects: ReadonlyMap<string, ApiObject>,
  events: readonly CacheEvent[],
  from: number,
): Snapshot {
  const state = new Map(objects);
  for (let i = events.length - 1; i >= from; i--) {
    const { key, before } = events[i] as CacheEvent;
    if (before) state.set(key, before);
    else state.delete(key);
  }
  return { keys: [...state.keys()].sort(), get: (key) => state.get(key) };
}

export function kindCache(loadedAt: number, maxEvents = defaultMaxEvents): WritableKindCache {
  const objects = new Map<string, ApiObject>();
  const listeners = new Set<() => void>();
  let sortedKeys: string[] | undefined;
  let events: CacheEvent[] = [];
  let firstCursor = 0;
  let oldestRevision = loadedAt;
  let dirty = false;

  function record(event: CacheEvent): void {
    events.push(event);
    dirty = true;
    // Trimmed in big steps, so that it costs nothing per event.
    if (events.length < maxEvents * 2) return;
    const dropped = events.length - maxEvents;
    oldestRevision = (events[dropped - 1] as CacheEvent).revision;
    events = events.slice(dropped);
    firstCursor += dropped;
  }

  return {
    get: (key) => objects.get(key),
    get size() {
      return objects.size;
    },
    snapshot(revision) {
      if (revision !== undefined && revision < oldestRevision) return undefined;
      const from = revision === undefined ? events.length : indexAfter(events, revision);
      if (from < events.length) return undone(objects, events, from);
      sortedKeys ??= [...objects.keys()].sort();
      return { keys: sortedKeys, get: (key) => objects.get(key) };
    },
    cursorAfter: (revision) =>
      revision < oldestRevision ? undefined : firstCursor + indexAfter(events, revision),
    cursorNow: () => firstCursor + events.length,
    read: (cursor, limit) =>
      cursor < firstCursor ? undefined : events.slice(cursor - firstCursor, cursor - firstCursor + limit),
    onChange(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    get oldestRevision() {
      return oldestRevision;
    },
    load(key, object) {
      objects.set(key, object);
      sortedKeys = undefined;
    },
    put(key, object, revision) {
      const before = objects.get(key);
      if (!before) sortedKeys = undefined;
      objects.set(key, object);
      record({ type: before ? 'MODIFIED' : 'ADDED', key, revision, object, before });
    },
    remove(key, revision) {
      const before = objects.get(key);
      if (!before) return;
      objects.delete(key);
      sortedKeys = undefined;
      record({ type: 'DELETED', key, revision, object: atVersion(before, revision), before });
    },
    flush() {
      if (!dirty) return;
      dirty = false;
      for (const listener of listeners) listener();
    },
  };
}

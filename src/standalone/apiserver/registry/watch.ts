import type { Clock } from '../../../lib/clock.ts';
import { badRequest, expired, statusOf } from '../status.ts';
import type { ApiObject, JsonObject, KindInfo } from '../kind.ts';
import { atVersion } from './json.ts';
import type { CacheEvent, Cursor, KindCache } from './kind-cache.ts';
import { parseRevision, readable, viewOf, walk, type Selection } from './list.ts';
import type { RegistryDeps } from './request.ts';
import { storageOf } from './storage-form.ts';

export interface WatchQuery {
  readonly resourceVersion?: string | undefined;
  readonly resourceVersionMatch?: string | undefined;
  readonly sendInitialEvents?: boolean | undefined;
  readonly allowBookmarks: boolean;
  /** The watch ends by itself after this. */
  readonly timeoutMs: number;
}

export type WatchFrame =
  | { readonly type: 'ADDED' | 'MODIFIED' | 'DELETED'; readonly object: ApiObject }
  | { readonly type: 'BOOKMARK'; readonly resourceVersion: string; readonly initialEventsEnd: boolean }
  | { readonly type: 'ERROR'; readonly status: JsonObject };

const bookmarkEveryMs = 60_000;
const framesAtOnce = 256;

/** What an object looks like that left the selector: its last matching state, at the version that took it out. */
const left = new WeakMap<CacheEvent, ApiObject>();

function frameOf(kind: KindInfo, event: CacheEvent, selection: Selection): WatchFrame | undefined {
  const { namespace, matches } = selection;
  if (namespace !== undefined && !event.key.startsWith(`${namespace}/`)) return undefined;
  const object = viewOf(kind, event.object);
  if (!matches) return { type: event.type, object };
  const before = event.before && matches(viewOf(kind, event.before));
  if (event.type === 'DELETED') return before ? { type: 'DELETED', object } : undefined;
  if (matches(object)) return { type: before ? 'MODIFIED' : 'ADDED', object };
  if (!before || !event.before) return undefined;
  let gone = left.get(event);
  if (!gone) left.set(event, (gone = atVersion(event.before, event.revision)));
  return { type: 'DELETED', object: viewOf(kind, gone) };
}

/** Refuses what cannot be asked; says whether the present objects come first. */
function checked(query: WatchQuery): { readonly initial: boolean; readonly revision: number | undefined } {
  const revision = parseRevision(query.resourceVersion);
  const { sendInitialEvents, resourceVersionMatch: match } = query;
  if (sendInitialEvents !== undefined && match !== 'NotOlderThan')
    throw badRequest(
      'sendInitialEvents: Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan',
    );
  if (sendInitialEvents === undefined && match)
    throw badRequest(
      'resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided',
    );
  if (sendInitialEvents && !query.allowBookmarks)
    throw badRequest('sendInitialEvents: Forbidden: sendInitialEvents requires allowWatchBookmarks');
  return { initial: sendInitialEvents ?? (revision === undefined || revision === 0), revision };
}

/**
 * Changes of a kind's objects, in batches, until the time is over or the signal aborts. A watcher that
 * starts too far back, or falls behind what the cache keeps, gets an ERROR frame with 410 Expired as its
 * last one. Refusals of the request itself are thrown before the first batch, which is empty.
 */
export async function* watchObjects(
  deps: RegistryDeps,
  kind: KindInfo,
  selection: Selection,
  query: WatchQuery,
  signal: AbortSignal,
): AsyncGenerator<readonly WatchFrame[]> {
  const { cache: all } = deps;
  const { initial, revision } = checked(query);
  await readable(deps, revision, signal);
  // The request is accepted: the stream can be opened, also where nothing comes for long.
  yield [];
  const cache = all.of(storageOf(kind));
  let cursor: Cursor | undefined;
  if (initial || revision === undefined || revision === 0) {
    // Snapshot and cursor in one turn: nothing can fall between them.
    cursor = cache.cursorNow();
    const at = all.revision;
    const present: WatchFrame[] = [];
    const snapshot = initial ? cache.snapshot() : undefined;
    if (snapshot)
      walk(kind, snapshot, selection, undefined, (object) => present.push({ type: 'ADDED', object }) > 0);
    for (let i = 0; i < present.length; i += framesAtOnce) yield present.slice(i, i + framesAtOnce);
    if (query.sendInitialEvents)
      yield [{ type: 'BOOKMARK', resourceVersion: String(at), initialEventsEnd: true }];
  } else {
    cursor = cache.cursorAfter(revision);
  }
  if (cursor === undefined) {
    const why = expired(`too old resource version: ${revision} (${cache.oldestRevision})`);
    yield [{ type: 'ERROR', status: statusOf(why) }];
    return;
  }
  yield* follow(deps, kind, selection, query, cache, cursor, signal);
}

/** What wakes the one reader of a watch. A ring while it does not wait is kept until it does. */
function doorbell() {
  let rang = false;
  let wake: (() => void) | undefined;
  return {
    ring(): void {
      rang = true;
      wake?.();
    },
    async answered(): Promise<void> {
      if (!rang) await new Promise<void>((resolve) => (wake = resolve));
      wake = undefined;
      rang = false;
    },
  };
}

async function* follow(
  deps: RegistryDeps,
  kind: KindInfo,
  selection: Selection,
  query: WatchQuery,
  cache: KindCache,
  start: Cursor,
  signal: AbortSignal,
): AsyncGenerator<readonly WatchFrame[]> {
  const { clock, cache: all, fanOut } = deps;
  const endMs = clock.now() + query.timeoutMs;
  let bookmarkMs = clock.now() + bookmarkEveryMs;
  let cursor = start;
  // One listener and one timer for as long as the watch lives: a change wakes hundreds of watches at once.
  const bell = doorbell();
  const stopListening = cache.onChange(() => fanOut.soon(bell.ring));
  signal.addEventListener('abort', bell.ring, { once: true });
  const alarm = createAlarm(clock, bell.ring);
  try {
    while (!signal.aborted) {
      const at = all.revision;
      const events = cache.read(cursor, framesAtOnce);
      if (!events) {
        yield [
          { type: 'ERROR', status: statusOf(expired('the watcher is too slow: start again from a list')) },
        ];
        return;
      }
      if (events.length > 0) {
        cursor += events.length;
        const frames = events
          .map((event) => frameOf(kind, event, selection))
          .filter((frame) => frame !== undefined);
        if (frames.length > 0) yield frames;
        continue;
      }
      const now = clock.now();
      if (now >= bookmarkMs || now >= endMs) {
        bookmarkMs = now + bookmarkEveryMs;
        if (query.allowBookmarks)
          yield [{ type: 'BOOKMARK', resourceVersion: String(at), initialEventsEnd: false }];
        if (now >= endMs) return;
        continue;
      }
      alarm.setFor(Math.min(bookmarkMs, endMs) - now);
      await bell.answered();
    }
  } finally {
    stopListening();
    fanOut.forget(bell.ring);
    signal.removeEventListener('abort', bell.ring);
    alarm.stop();
  }
}

/** Rings after a time, unless it is set already; it may then ring early, and is set again. */
function createAlarm(clock: Clock, ring: () => void) {
  const stopped = new AbortController();
  let set = false;
  return {
    setFor(ms: number): void {
      if (set) return;
      set = true;
      clock.sleep(ms, stopped.signal).then(
        () => {
          set = false;
          ring();
        },
        () => undefined,
      );
    },
    stop: () => stopped.abort(new Error('the watch ended')),
  };
}

import type { KubeObject, Resource, Stored } from '../api/resource.ts';
import { backoffMs } from '../lib/backoff.ts';
import type { Clock } from '../lib/clock.ts';
import type { Logger } from '../lib/log.ts';
import type { KubeClient, Selection } from './client.ts';
import { isExpired, isInvalid, isKubeError, KubeError } from './errors.ts';
import { offersInitialEvents } from './server-version.ts';

const pageSize = 500;
const listTimeoutMs = 60_000;
const watchSeconds = 300;
/** Past the time that we asked the server to end the watch: it no longer does what it says. */
const stallGraceMs = 30_000;
/** Where the server has shown that it sends bookmarks, about one a minute, silence for this long is a cut wire. */
const silenceMs = 180_000;
/** An initial list by events must move on within this; else the server ignored our wish for one. */
const initialStallMs = 30_000;
// Short, for a server that restarts is soon back, and until then we act on nothing new.
const retry = { baseMs: 200, maxMs: 10_000, jitter: 0.5 };

/**
 * What a watcher tells. Between `init` and `initDone` comes every object there is as `initApply`:
 * whatever is not among them is gone.
 */
export type WatcherEvent<T extends KubeObject> =
  | { readonly type: 'init' }
  | { readonly type: 'initApply'; readonly object: Stored<T> }
  | { readonly type: 'initDone'; readonly resourceVersion: string }
  | { readonly type: 'apply'; readonly object: Stored<T> }
  | { readonly type: 'delete'; readonly object: Stored<T> }
  | { readonly type: 'progress'; readonly resourceVersion: string };

export interface WatcherOptions {
  readonly clock: Clock;
  readonly signal: AbortSignal;
  readonly log?: Logger;
  readonly random?: () => number;
  /** Ask for the first list as watch events; found out from the server where not said. */
  readonly initialEvents?: boolean;
}

/**
 * Where a watcher stands. Empty: knows nothing. InitPage: lists, page by page. InitListed: has the
 * list, not yet a watch. Watching: one HTTP watch after the other from the last revision seen.
 */
type State =
  | { readonly kind: 'Empty' }
  | {
      readonly kind: 'InitPage';
      readonly continue?: string | undefined;
      readonly resourceVersion?: string | undefined;
    }
  | { readonly kind: 'InitListed'; readonly resourceVersion: string }
  | { readonly kind: 'Watching'; readonly resourceVersion: string };

/**
 * Follows one selection for ever: lists, watches, and lists anew where the server has forgotten our
 * revision. Failures are waited out with backoff and never end it; only the signal does.
 */
export async function* watchResource<T extends KubeObject>(
  client: KubeClient,
  resource: Resource<T>,
  selection: Selection,
  options: WatcherOptions,
): AsyncGenerator<WatcherEvent<T>, void> {
  const { clock, signal, log, random = Math.random } = options;
  let state: State = { kind: 'Empty' };
  let failures = 0;
  let initialEvents = options.initialEvents;
  while (!signal.aborted) {
    try {
      switch (state.kind) {
        case 'Empty':
          initialEvents ??= await offersInitialEvents(client, signal);
          yield { type: 'init' };
          state = initialEvents
            ? yield* initByEvents(client, resource, selection, options)
            : { kind: 'InitPage' };
          break;
        case 'InitPage':
          state = yield* initPage(client, resource, selection, state, signal);
          break;
        case 'InitListed':
          failures = 0;
          yield { type: 'initDone', resourceVersion: state.resourceVersion };
          state = { kind: 'Watching', resourceVersion: state.resourceVersion };
          break;
        case 'Watching': {
          const startedMs = clock.now();
          const from: string = state.resourceVersion;
          for await (const event of follow(client, resource, selection, from, options)) {
            failures = 0;
            state = { kind: 'Watching', resourceVersion: event.resourceVersion };
            if (event.event) yield event.event;
          }
          // A server that ends every watch at once must not be asked in a tight loop.
          if (clock.now() - startedMs < 1_000 && state.resourceVersion === from) {
            await clock.sleep(backoffMs(failures++, { ...retry, random }), signal);
          }
          break;
        }
      }
    } catch (error) {
      if (signal.aborted) return;
      if (initialEvents && state.kind === 'Empty' && wantsListing(error)) initialEvents = false;
      // A list that broke half-way has no one revision to go on from, and a compacted one no changes.
      if (state.kind === 'InitPage' || isExpired(error)) state = { kind: 'Empty' };
      const delayMs = backoffMs(failures++, { ...retry, random });
      log?.[failures > 3 ? 'warn' : 'debug'](
        { err: error, resource: resource.plural, state: state.kind, delayMs },
        'watch interrupted',
      );
      await clock.sleep(delayMs, signal).catch(() => undefined);
    }
  }
}

/** Refused as an unknown or disabled option, or simply ignored. */
const wantsListing = (error: unknown): boolean =>
  isInvalid(error) ||
  isKubeError(error, 'BadRequest') ||
  isKubeError(error, 'Forbidden') ||
  isKubeError(error, 'Stalled');

async function* initByEvents<T extends KubeObject>(
  client: KubeClient,
  resource: Resource<T>,
  selection: Selection,
  options: WatcherOptions,
): AsyncGenerator<WatcherEvent<T>, State> {
  using guard = stallGuard(options, initialStallMs);
  const wanted = { ...selection, resourceVersion: '', sendInitialEvents: true };
  let live = '';
  try {
    const events = client.watchOnce(resource, wanted, { signal: guard.signal, timeoutSeconds: watchSeconds });
    for await (const event of events) {
      guard.moved();
      if (event.type === 'BOOKMARK') {
        live = event.resourceVersion;
        // Leaving here closes this watch; the state machine opens the next one from this revision.
        if (event.initialEventsEnd) return { kind: 'InitListed', resourceVersion: live };
      } else if (event.type === 'ADDED' || event.type === 'MODIFIED') {
        yield { type: 'initApply', object: event.object };
      }
    }
  } catch (error) {
    throw guard.errorOf(error);
  }
  return { kind: 'Empty' };
}

async function* initPage<T extends KubeObject>(
  client: KubeClient,
  resource: Resource<T>,
  selection: Selection,
  state: Extract<State, { kind: 'InitPage' }>,
  signal: AbortSignal,
): AsyncGenerator<WatcherEvent<T>, State> {
  const page = await client.listPage(
    resource,
    { ...selection, limit: pageSize, continue: state.continue },
    { signal, timeoutMs: listTimeoutMs },
  );
  for (const object of page.items) yield { type: 'initApply', object };
  const resourceVersion = state.resourceVersion ?? page.resourceVersion;
  return page.continue
    ? { kind: 'InitPage', continue: page.continue, resourceVersion }
    : { kind: 'InitListed', resourceVersion };
}

interface Followed<T extends KubeObject> {
  readonly resourceVersion: string;
  readonly event?: WatcherEvent<T>;
}

async function* follow<T extends KubeObject>(
  client: KubeClient,
  resource: Resource<T>,
  selection: Selection,
  resourceVersion: string,
  options: WatcherOptions,
): AsyncGenerator<Followed<T>, void> {
  const { random = Math.random } = options;
  // Spread, so that the watches of a process do not all come back in one second.
  const timeoutSeconds = Math.round(watchSeconds * (1 + random()));
  using guard = stallGuard(options, timeoutSeconds * 1000 + stallGraceMs);
  try {
    const events = client.watchOnce(
      resource,
      { ...selection, resourceVersion },
      { signal: guard.signal, timeoutSeconds },
    );
    for await (const event of events) {
      guard.moved();
      if (event.type === 'BOOKMARK') {
        guard.setLimit(silenceMs);
        yield {
          resourceVersion: event.resourceVersion,
          event: { type: 'progress', resourceVersion: event.resourceVersion },
        };
        continue;
      }
      yield {
        resourceVersion: event.object.metadata.resourceVersion,
        event: { type: event.type === 'DELETED' ? 'delete' : 'apply', object: event.object },
      };
    }
  } catch (error) {
    throw guard.errorOf(error);
  }
}

interface StallGuard extends Disposable {
  readonly signal: AbortSignal;
  /** Something arrived: the limit counts anew. */
  moved(): void;
  setLimit(ms: number): void;
  /** The stall where it was one, else the error itself. */
  errorOf(error: unknown): unknown;
}

/** Aborts a stream on which nothing arrived for the limit, measured by the injected clock. */
function stallGuard({ clock, signal }: WatcherOptions, firstLimitMs: number): StallGuard {
  const own = new AbortController();
  const timer = new AbortController();
  const onAbort = () => own.abort(signal.reason);
  signal.addEventListener('abort', onAbort, { once: true });
  if (signal.aborted) onAbort();
  let limitMs = firstLimitMs;
  let stalled = false;
  let lastMs = clock.now();
  const watchOver = async () => {
    for (let leftMs = limitMs; leftMs > 0; leftMs = lastMs + limitMs - clock.now()) {
      // In pieces, for the limit may become shorter meanwhile.
      await clock.sleep(Math.min(leftMs, silenceMs), timer.signal);
    }
    stalled = true;
    own.abort(new Error('the watch stalled'));
  };
  watchOver().catch(() => undefined); // Rejects only when disposed of.
  return {
    signal: own.signal,
    moved() {
      lastMs = clock.now();
    },
    setLimit(ms) {
      limitMs = ms;
    },
    errorOf: (error) => (stalled ? stallError(error) : error),
    [Symbol.dispose]() {
      signal.removeEventListener('abort', onAbort);
      timer.abort(new Error('the watch ended'));
    },
  };
}

const stallError = (cause: unknown): KubeError =>
  new KubeError({ status: 0, reason: 'Stalled', message: 'nothing arrived on the watch', cause });

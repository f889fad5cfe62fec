import { partitionPoint } from '../../../lib/partition-point.ts';
import {
  compactedError,
  futureRevisionError,
  maxChanges,
  StoreError,
  type ListOptions,
  type Store,
  type StoreBatch,
  type StoreChange,
  type StoreEntry,
  type StoreEvent,
  type StoreList,
} from './store.ts';

export interface MemoryStoreOptions {
  /** Events kept for watches and old lists before the oldest are forgotten. */
  readonly maxHistory?: number;
  /** Bytes of one value; etcd refuses above about 1.5 MiB. */
  readonly maxValueBytes?: number;
}

interface Past {
  readonly event: StoreEvent;
  readonly before: StoreEntry | undefined;
}

const byKey = (a: { readonly key: string }, b: { readonly key: string }) =>
  a.key < b.key ? -1 : a.key > b.key ? 1 : 0;

/** What the entries were at revision `at`: the present with the later events undone, latest first. */
function undone(
  entries: ReadonlyMap<string, StoreEntry>,
  past: readonly Past[],
  at: number,
): Map<string, StoreEntry> {
  const state = new Map(entries);
  for (let i = past.length - 1; i >= 0; i--) {
    const { event, before } = past[i] as Past;
    if (event.revision <= at) break;
    if (before) state.set(event.key, before);
    else state.delete(event.key);
  }
  return state;
}

/** In order. */
const below = (state: ReadonlyMap<string, StoreEntry>, prefix: string, after: string | undefined) =>
  [...state.values()]
    .filter(({ key }) => key.startsWith(prefix) && (after === undefined || key > after))
    .sort(byKey);

function checkSize(changes: readonly StoreChange[], maxValueBytes: number): void {
  if (changes.length > maxChanges) throw new StoreError('TOO_LARGE', `more than ${maxChanges} changes`);
  if (changes.some(({ value }) => value !== undefined && Buffer.byteLength(value) > maxValueBytes))
    throw new StoreError('TOO_LARGE', 'the value is too large');
}

/** The Store in this process' memory: for tests and simulation. Held to etcd's behaviour by one suite. */
export function memoryStore(options: MemoryStoreOptions = {}): Store {
  const { maxHistory = 50_000, maxValueBytes = 1_500_000 } = options;
  const entries = new Map<string, StoreEntry>();
  let past: Past[] = [];
  let revision = 1;
  let compacted = 0;
  const watchers = new Set<() => void>();

  /** Every key's entry as it was at `at`. */
  function stateAt(at: number): Map<string, StoreEntry> {
    if (at > revision) throw futureRevisionError(at, revision);
    if (at < compacted) throw compactedError(at, compacted);
    return undone(entries, past, at);
  }

  function forget(upTo: number): void {
    compacted = Math.max(compacted, upTo);
    past = past.filter(({ event }) => event.revision > compacted);
  }

  function apply(change: StoreChange): void {
    const { key, value } = change;
    const before = entries.get(key);
    if (value === undefined) {
      entries.delete(key);
      past.push({ event: { type: 'delete', key, revision }, before });
    } else {
      entries.set(key, { key, value, revision });
      past.push({ event: { type: 'put', key, value, revision }, before });
    }
  }

  return {
    async get(key) {
      return entries.get(key);
    },
    async list({ prefix, after, limit, revision: at }: ListOptions): Promise<StoreList> {
      const state = at === undefined || at === revision ? entries : stateAt(at);
      const found = below(state, prefix, after);
      const page = limit === undefined ? found : found.slice(0, limit);
      return { entries: page, revision: at ?? revision, remaining: found.length - page.length };
    },
    async commit(changes, signal) {
      signal.throwIfAborted();
      checkSize(changes, maxValueBytes);
      const asExpected = changes.every(({ key, expected }) => (entries.get(key)?.revision ?? 0) === expected);
      if (!asExpected) return { committed: false, current: changes.map(({ key }) => entries.get(key)) };
      revision++;
      for (const change of changes) apply(change);
      if (past.length > maxHistory * 1.2) forget((past[past.length - maxHistory] as Past).event.revision);
      for (const wake of watchers) wake();
      return { committed: true, revision };
    },
    watch: (prefix, from, signal) =>
      follow(
        { past: () => past, revision: () => revision, compacted: () => compacted, watchers },
        prefix,
        from,
        signal,
      ),
    async compact(at) {
      if (at > revision) throw futureRevisionError(at, revision);
      if (at <= compacted) throw compactedError(at, compacted);
      forget(at);
      for (const wake of watchers) wake();
    },
    async revision() {
      return revision;
    },
    async close() {
      entries.clear();
    },
  };
}

interface Followed {
  readonly past: () => readonly Past[];
  readonly revision: () => number;
  readonly compacted: () => number;
  /** Called after each change. */
  readonly watchers: Set<() => void>;
}

async function* follow(
  { past, revision, compacted, watchers }: Followed,
  prefix: string,
  from: number,
  signal: AbortSignal,
): AsyncGenerator<StoreBatch> {
  let seen = from;
  let wake: () => void = () => undefined;
  const onChange = () => wake();
  watchers.add(onChange);
  signal.addEventListener('abort', onChange);
  try {
    for (;;) {
      signal.throwIfAborted();
      if (seen < compacted()) throw compactedError(seen + 1, compacted());
      if (revision() > seen) {
        const events = past()
          .slice(partitionPoint(past(), ({ event }) => event.revision <= seen))
          .map(({ event }) => event)
          .filter((event) => event.key.startsWith(prefix));
        seen = revision();
        yield { events, revision: seen };
      } else {
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
    }
  } finally {
    watchers.delete(onChange);
    signal.removeEventListener('abort', onChange);
  }
}

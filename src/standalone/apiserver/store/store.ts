/** One key with its value, as of the revision that wrote it. */
export interface StoreEntry {
  readonly key: string;
  readonly value: string;
  /** Revision of the last write to this key. */
  readonly revision: number;
}

export type StoreEvent =
  | { readonly type: 'put'; readonly key: string; readonly value: string; readonly revision: number }
  | { readonly type: 'delete'; readonly key: string; readonly revision: number };

/** All events up to `revision`, oldest first; a revision is never split over two batches. Empty: progress only. */
export interface StoreBatch {
  readonly events: readonly StoreEvent[];
  readonly revision: number;
}

/** Replaces (`value`) or deletes (no `value`) one key, if it is still at `expected`; 0 stands for absent. */
export interface StoreChange {
  readonly key: string;
  readonly expected: number;
  readonly value?: string | undefined;
}

export type CommitResult =
  | { readonly committed: true; readonly revision: number }
  /** Nothing was written; what the keys hold now, in the order of the changes. */
  | { readonly committed: false; readonly current: readonly (StoreEntry | undefined)[] };

export interface ListOptions {
  readonly prefix: string;
  /** Only keys that sort after this one. */
  readonly after?: string | undefined;
  readonly limit?: number | undefined;
  /** The state as of this revision; CompactedError where it is gone, FutureRevisionError where it is not there yet. */
  readonly revision?: number | undefined;
}

export interface StoreList {
  /** By key, in byte order. */
  readonly entries: readonly StoreEntry[];
  /** The revision the list shows. */
  readonly revision: number;
  /** How many keys follow after the last entry. */
  readonly remaining: number;
}

/**
 * A revisioned key-value store: etcd's model, which Kubernetes' list and watch are built on. Every write
 * takes the next revision of the whole store. Values are UTF-8 text. Calls reject with StoreError.
 */
export interface Store {
  get(key: string, signal: AbortSignal): Promise<StoreEntry | undefined>;
  list(options: ListOptions, signal: AbortSignal): Promise<StoreList>;
  /** All changes at one revision, or none. At most 128 changes. */
  commit(changes: readonly StoreChange[], signal: AbortSignal): Promise<CommitResult>;
  /**
   * Events of keys under `prefix` after `revision`, for as long as the signal stands. Broken connections
   * are taken up again without a gap; where that is not possible, it throws CompactedError.
   */
  watch(prefix: string, revision: number, signal: AbortSignal): AsyncIterable<StoreBatch>;
  /** Forgets what came before `revision`: older lists and watches then fail. */
  compact(revision: number, signal: AbortSignal): Promise<void>;
  revision(signal: AbortSignal): Promise<number>;
  close(): Promise<void>;
}

export class StoreError extends Error {
  readonly code: 'COMPACTED' | 'FUTURE_REVISION' | 'TOO_LARGE' | 'UNAVAILABLE' | 'OUTCOME_UNKNOWN';

  constructor(code: StoreError['code'], message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'StoreError';
    this.code = code;
  }
}

export const isStoreError = (error: unknown, code?: StoreError['code']): error is StoreError =>
  error instanceof StoreError && (code === undefined || error.code === code);

export const compactedError = (asked: number, oldest: number) =>
  new StoreError('COMPACTED', `revision ${asked} has been compacted, ${oldest} is the oldest`);

export const futureRevisionError = (asked: number, current: number) =>
  new StoreError('FUTURE_REVISION', `revision ${asked} is in the future, ${current} is the current one`);

/** Changes a store takes in one commit; etcd's own limit. */
export const maxChanges = 128;

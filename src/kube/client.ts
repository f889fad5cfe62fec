import type { KubeObject, ObjectRef, Resource, Stored } from '../api/resource.ts';

export interface CallOptions {
  readonly signal: AbortSignal;
  /** Whole call, retries included; 30 s where not said. */
  readonly timeoutMs?: number;
}

export interface Selection {
  readonly namespace?: string | undefined;
  readonly labelSelector?: string | undefined;
  readonly fieldSelector?: string | undefined;
}

export interface Listing<T extends KubeObject> {
  readonly items: readonly Stored<T>[];
  readonly resourceVersion: string;
}

/** One page of a listing; `continue` is set where there are more. */
export interface Page<T extends KubeObject> extends Listing<T> {
  readonly continue?: string | undefined;
}

export type PatchBody =
  | { readonly type: 'json'; readonly operations: readonly JsonPatchOperation[] }
  | { readonly type: 'merge'; readonly body: object }
  | { readonly type: 'strategic'; readonly body: object };

export interface JsonPatchOperation {
  readonly op: 'add' | 'remove' | 'replace' | 'test' | 'move' | 'copy';
  readonly path: string;
  readonly from?: string;
  readonly value?: unknown;
}

export interface WriteOptions extends CallOptions {
  readonly subresource?: 'status' | 'scale' | 'finalize' | undefined;
  readonly dryRun?: boolean | undefined;
  readonly fieldManager?: string | undefined;
}

export interface DeleteOptions extends CallOptions {
  readonly propagationPolicy?: 'Background' | 'Foreground' | 'Orphan';
  readonly gracePeriodSeconds?: number;
  readonly uid?: string | undefined;
  readonly resourceVersion?: string | undefined;
}

/**
 * One Kubernetes API. Every call takes a signal and has a time limit; a refused call is a KubeError
 * (errors.ts) whose `reason` is Kubernetes' own. Safe calls are retried on 429, 5xx and broken
 * connections with backoff, inside the limit.
 */
export interface KubeClient {
  /** The object, or undefined where there is none. */
  get<T extends KubeObject>(
    resource: Resource<T>,
    ref: ObjectRef,
    options: CallOptions,
  ): Promise<Stored<T> | undefined>;
  /** All pages, 500 objects a request, at one revision. */
  list<T extends KubeObject>(
    resource: Resource<T>,
    selection: Selection,
    options: CallOptions,
  ): Promise<Listing<T>>;
  /** One page, for readers that keep no whole list; the revision is the first page's. */
  listPage<T extends KubeObject>(
    resource: Resource<T>,
    selection: Selection & { readonly limit?: number; readonly continue?: string | undefined },
    options: CallOptions,
  ): Promise<Page<T>>;
  create<T extends KubeObject>(resource: Resource<T>, object: T, options: WriteOptions): Promise<Stored<T>>;
  /** Replaces; metadata.resourceVersion makes it a compare-and-swap. */
  update<T extends KubeObject>(resource: Resource<T>, object: T, options: WriteOptions): Promise<Stored<T>>;
  patch<T extends KubeObject>(
    resource: Resource<T>,
    ref: ObjectRef,
    patch: PatchBody,
    options: WriteOptions,
  ): Promise<Stored<T>>;
  /** Server-side apply. Force is the default, as for controllers. */
  apply<T extends KubeObject>(
    resource: Resource<T>,
    object: T,
    options: WriteOptions & { readonly fieldManager: string; readonly force?: boolean },
  ): Promise<Stored<T>>;
  /** An absent object is no error: false. */
  delete(resource: Resource, ref: ObjectRef, options: DeleteOptions): Promise<boolean>;
  /** Raw request for subresources and non-resource paths: the decoded JSON, or the text where the answer is plain. */
  request(request: RawRequest, options: CallOptions): Promise<unknown>;
  /**
   * Events from `resourceVersion` on, one HTTP watch: ends when the server ends it, throws KubeError
   * (reason Expired for 410) otherwise. Callers want `watcher.ts`, which relists and goes on.
   */
  watchOnce<T extends KubeObject>(
    resource: Resource<T>,
    selection: Selection & {
      readonly resourceVersion: string;
      /**
       * Asks for the whole selection as ADDED events first, then a bookmark with `initialEventsEnd`.
       * `resourceVersion` is then the least revision wanted, or empty for the newest.
       */
      readonly sendInitialEvents?: boolean;
    },
    options: { readonly signal: AbortSignal; readonly timeoutSeconds?: number },
  ): AsyncIterable<WatchEvent<T>>;
  close(): Promise<void>;
}

export interface RawRequest {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  /** Path below the server's URL, with its leading slash and query. */
  readonly path: string;
  readonly body?: unknown;
  readonly contentType?: string;
}

export type WatchEvent<T extends KubeObject> =
  | { readonly type: 'ADDED' | 'MODIFIED' | 'DELETED'; readonly object: Stored<T> }
  | { readonly type: 'BOOKMARK'; readonly resourceVersion: string; readonly initialEventsEnd: boolean };

import { setMaxListeners } from 'node:events';
import { apiVersionOf, refOf, type KubeObject, type Resource, type Stored } from '../api/resource.ts';
import { backoffMs } from '../lib/backoff.ts';
import { systemClock, type Clock } from '../lib/clock.ts';
import { withDeadline } from '../lib/deadline.ts';
import type {
  CallOptions,
  DeleteOptions,
  KubeClient,
  Page,
  PatchBody,
  Selection,
  WriteOptions,
} from './client.ts';
import { isExpired, isKubeError, isNotFound } from './errors.ts';
import type { KubeConfig } from './kubeconfig.ts';
import { collectionPath, objectPath, queryOf, selectionQuery } from './resource-path.ts';
import { createTransport, wasNeverSent, type HttpCall, type Transport } from './transport.ts';
import { linesOf, storedOf, watchEventOf } from './watch-stream.ts';

const pageSize = 500;
const callTimeoutMs = 30_000;
const maxRetries = 8;
const maxRetryAfterMs = 30_000;

export interface KubeClientDeps {
  readonly clock?: Clock;
  readonly random?: () => number;
  /** Written into managedFields where a call names no field manager. */
  readonly fieldManager?: string;
}

/** A client over HTTP/1.1 with kept-alive connections: at most 32 for calls, and one for each watch. */
export function createKubeClient(config: KubeConfig, deps: KubeClientDeps = {}): KubeClient {
  const { clock = systemClock } = deps;
  return kubeClientOver(
    createTransport(config, () => clock.now()),
    deps,
  );
}

/** A client over any way to an API; closing it closes the way. */
export function kubeClientOver(transport: Transport, deps: KubeClientDeps = {}): KubeClient {
  const { clock = systemClock, random = Math.random, fieldManager = 'holdfast' } = deps;

  /** Sends, and sends again while that is safe, inside the call's limit. */
  const send: Send = async (call, safe, options) => {
    // Many calls at once on one signal are what a reconcile does, no leak.
    setMaxListeners(0, options.signal);
    return await withDeadline(
      `${call.method} ${call.path}`,
      options.timeoutMs ?? callTimeoutMs,
      options.signal,
      async (signal) => {
        for (let attempt = 0; ; attempt++) {
          try {
            return await transport.call({ ...call, signal });
          } catch (error) {
            if (signal.aborted || attempt >= maxRetries || !mayRetry(error, safe)) throw error;
            await clock.sleep(retryDelayMs(error, attempt, random), signal);
          }
        }
      },
    );
  };

  return {
    ...readCalls(send, transport),
    ...writeCalls(send, fieldManager),
    async request(request, options) {
      return await send(request, request.method === 'GET', options);
    },
    close: () => transport.close(),
  };
}

type Send = (call: Omit<HttpCall, 'signal'>, safe: boolean, options: CallOptions) => Promise<unknown>;
type ReadCalls = Pick<KubeClient, 'get' | 'list' | 'listPage' | 'watchOnce'>;
type WriteCalls = Pick<KubeClient, 'create' | 'update' | 'patch' | 'apply' | 'delete'>;

function readCalls(send: Send, transport: Transport): ReadCalls {
  const reads: ReadCalls = {
    async get(resource, ref, options) {
      try {
        const answer = await send({ method: 'GET', path: objectPath(resource, ref) }, true, options);
        return storedOf(resource, answer);
      } catch (error) {
        if (isNotFound(error)) return undefined;
        throw error;
      }
    },
    async list<T extends KubeObject>(resource: Resource<T>, selection: Selection, options: CallOptions) {
      const items: Stored<T>[] = [];
      let restarts = 0;
      let page: Page<T> | undefined;
      do {
        const wanted = { ...selection, limit: pageSize, continue: page?.continue };
        try {
          page = await reads.listPage(resource, wanted, options);
          items.push(...page.items);
        } catch (error) {
          // The first page's revision was compacted meanwhile: only a new start gives one revision.
          if (!isExpired(error) || page === undefined || ++restarts > 3) throw error;
          items.length = 0;
          page = undefined;
        }
      } while (page === undefined || page.continue);
      return { items, resourceVersion: page.resourceVersion };
    },
    async listPage(resource, selection, options) {
      const query = queryOf({
        ...selectionQuery(selection),
        limit: selection.limit,
        continue: selection.continue,
      });
      const path = `${collectionPath(resource, selection.namespace)}${query}`;
      return pageOf(resource, await send({ method: 'GET', path }, true, options));
    },
    async *watchOnce(resource, selection, { signal, timeoutSeconds }) {
      const initial = { sendInitialEvents: true, resourceVersionMatch: 'NotOlderThan' };
      const query = queryOf({
        ...selectionQuery(selection),
        watch: true,
        allowWatchBookmarks: true,
        resourceVersion: selection.resourceVersion,
        timeoutSeconds,
        ...(selection.sendInitialEvents ? initial : {}),
      });
      const path = `${collectionPath(resource, selection.namespace)}${query}`;
      for await (const line of linesOf(await transport.stream(path, signal))) {
        if (line !== '') yield watchEventOf(resource, line);
      }
    },
  };
  return reads;
}

function writeCalls(send: Send, fieldManager: string): WriteCalls {
  const writeQuery = (options: WriteOptions, extra: Record<string, string | boolean> = {}) =>
    queryOf({
      fieldManager: options.fieldManager ?? fieldManager,
      dryRun: options.dryRun ? 'All' : undefined,
      ...extra,
    });
  return {
    async create(resource, object, options) {
      const path = `${collectionPath(resource, object.metadata?.namespace)}${writeQuery(options)}`;
      const body = withKind(resource, object);
      return storedOf(resource, await send({ method: 'POST', path, body }, false, options));
    },
    async update(resource, object, options) {
      const path = objectPath(resource, refOf(object), options.subresource) + writeQuery(options);
      const body = withKind(resource, object);
      return storedOf(resource, await send({ method: 'PUT', path, body }, false, options));
    },
    async patch(resource, ref, patch, options) {
      const path = objectPath(resource, ref, options.subresource) + writeQuery(options);
      // A JSON patch may append, so only the other two give the same result when sent twice.
      const safe = patch.type !== 'json';
      const answer = await send({ method: 'PATCH', path, ...patchBody(patch) }, safe, options);
      return storedOf(resource, answer);
    },
    async apply(resource, object, options) {
      const query = writeQuery(options, { force: options.force ?? true });
      const path = objectPath(resource, refOf(object), options.subresource) + query;
      const call = { method: 'PATCH', path, contentType: 'application/apply-patch+yaml' } as const;
      return storedOf(resource, await send({ ...call, body: withKind(resource, object) }, true, options));
    },
    async delete(resource, ref, options) {
      try {
        const path = objectPath(resource, ref);
        await send({ method: 'DELETE', path, body: deleteBody(options) }, true, options);
        return true;
      } catch (error) {
        if (isNotFound(error)) return false;
        throw error;
      }
    },
  };
}

function mayRetry(error: unknown, safe: boolean): boolean {
  if (!isKubeError(error)) return false;
  // The server turned the call away before it did anything, whatever the verb.
  if (error.status === 429 || wasNeverSent(error)) return true;
  if (!safe) return false;
  if (error.status === 0) return error.reason === 'Unreachable';
  return error.status >= 500 && error.status !== 501;
}

function retryDelayMs(error: unknown, attempt: number, random: () => number): number {
  const own = backoffMs(attempt, { baseMs: 100, maxMs: 5_000, jitter: 0.3, random });
  const asked = isKubeError(error) ? error.retryAfterMs : undefined;
  return asked === undefined ? own : Math.min(Math.max(asked, own), maxRetryAfterMs);
}

const withKind = <T extends KubeObject>(resource: Resource<T>, object: T): T => ({
  ...object,
  apiVersion: apiVersionOf(resource),
  kind: resource.kind,
});

const patchTypes = {
  json: 'application/json-patch+json',
  merge: 'application/merge-patch+json',
  strategic: 'application/strategic-merge-patch+json',
} as const;

const patchBody = (patch: PatchBody) => ({
  contentType: patchTypes[patch.type],
  body: patch.type === 'json' ? patch.operations : patch.body,
});

function deleteBody(options: DeleteOptions): object {
  const { propagationPolicy, gracePeriodSeconds, uid, resourceVersion } = options;
  const preconditions = {
    ...(uid === undefined ? {} : { uid }),
    ...(resourceVersion === undefined ? {} : { resourceVersion }),
  };
  return {
    apiVersion: 'v1',
    kind: 'DeleteOptions',
    ...(propagationPolicy === undefined ? {} : { propagationPolicy }),
    ...(gracePeriodSeconds === undefined ? {} : { gracePeriodSeconds }),
    ...(Object.keys(preconditions).length === 0 ? {} : { preconditions }),
  };
}

interface RawList {
  metadata?: { resourceVersion?: string; continue?: string };
  items?: unknown[] | null;
}

function pageOf<T extends KubeObject>(resource: Resource<T>, answer: unknown): Page<T> {
  const list = (answer ?? {}) as RawList;
  return {
    items: (list.items ?? []).map((item) => storedOf(resource, item)),
    resourceVersion: list.metadata?.resourceVersion ?? '',
    continue: list.metadata?.continue || undefined,
  };
}

import { isDeepStrictEqual } from 'node:util';
import {
  keyOf,
  refOf,
  type KubeObject,
  type ObjectRef,
  type Resource,
  type Stored,
} from '../api/resource.ts';
import type { Clock } from '../lib/clock.ts';
import { DeadlineError } from '../lib/deadline.ts';
import type { Logger } from '../lib/log.ts';
import type { CacheSet } from '../kube/cache-set.ts';
import type { KubeClient, Selection } from '../kube/client.ts';
import { isConflict } from '../kube/errors.ts';
import type { RunningCache } from '../kube/watch-cache.ts';
import type { ControlMetrics } from './control-metrics.ts';
import { addFinalizer, hasFinalizer, isDeleted, removeFinalizer } from './finalizer.ts';
import { done, type Outcome } from './outcome.ts';
import type { ControllerSpec, ReconcileContext, Trigger } from './reconciler.ts';
import { createWorkQueue, type WorkQueue } from './work-queue.ts';

const defaultConcurrency = 4;
const defaultTimeoutMs = 120_000;

export interface ControllerDeps {
  readonly client: KubeClient;
  readonly caches: CacheSet;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics?: ControlMetrics | undefined;
  readonly random?: () => number;
}

export interface Controller {
  readonly name: string;
  /** Works until the signal aborts and the last reconcile has ended. */
  run(signal: AbortSignal): Promise<void>;
  enqueue(ref: ObjectRef): void;
  readonly queue: Pick<WorkQueue, 'ready' | 'working' | 'delayed' | 'failing'>;
}

/** Joins a reconciler with its cache, its triggers and a queue of names. */
export function createController<T extends KubeObject>(
  spec: ControllerSpec<T>,
  deps: ControllerDeps,
): Controller {
  const { reconciler, resource } = spec;
  const { clock, caches, metrics } = deps;
  const log = deps.log.child({ controller: reconciler.name });
  const cache = caches.cache(resource, selectionOf(spec));
  const queue = createWorkQueue({
    clock,
    ...(deps.random ? { random: deps.random } : {}),
    onTaken: (waitedMs) => metrics?.waited(reconciler.name, waitedMs / 1000),
  });
  metrics?.watchQueue(reconciler.name, () => ({
    ready: queue.ready,
    working: queue.working,
    failing: queue.failing,
  }));
  const enqueue = (ref: ObjectRef) => queue.add(keyOf(ref));
  const workers = createWorkers(spec, deps, cache, queue, log);

  return {
    name: reconciler.name,
    queue,
    enqueue,
    async run(signal) {
      const { subscriptions, synced } = listen(spec, cache, caches, enqueue, signal);
      using _held = subscriptions;
      try {
        await synced;
      } catch (error) {
        if (signal.aborted) return;
        throw error;
      }
      // A shared cache may have been full before we listened.
      for (const object of cache.list()) enqueue(refOf(object));
      signal.addEventListener('abort', () => queue.close(), { once: true });
      if (signal.aborted) queue.close();
      await workers.run(signal);
    },
  };
}

/** The loops that take names from the queue and reconcile them. */
function createWorkers<T extends KubeObject>(
  spec: ControllerSpec<T>,
  { client, clock, metrics }: ControllerDeps,
  cache: RunningCache<T>,
  queue: WorkQueue,
  log: Logger,
) {
  const { reconciler, resource } = spec;
  /** Reconciles that have not really ended, those given up at their limit included. */
  const bodies = new Set<Promise<Outcome>>();

  /** One reconcile from name to outcome; everything that can go wrong in it ends here. */
  const work = async (key: string, signal: AbortSignal): Promise<void> => {
    const startedMs = clock.now();
    const count = (result: 'success' | 'requeue' | 'error') =>
      metrics?.reconciled(reconciler.name, result, (clock.now() - startedMs) / 1000);
    const turnLog = log.child({ object: key });
    try {
      const outcome = await limited<Outcome>(
        reconciler.name,
        spec.timeoutMs ?? defaultTimeoutMs,
        signal,
        (body) => {
          bodies.add(body);
          const over = () => {
            bodies.delete(body);
            queue.release(key);
          };
          body.then(over, over);
        },
        async (own) => {
          const ref = refOfKey(resource, key);
          return await turn(spec, client, cache, ref, { log: turnLog, signal: own });
        },
      );
      queue.forget(key);
      if (outcome.kind === 'requeue') queue.addAfter(key, outcome.afterMs);
      count(outcome.kind === 'requeue' ? 'requeue' : 'success');
    } catch (error) {
      if (signal.aborted) return;
      count('error');
      const retryMs = Math.round(queue.addAfterFailure(key));
      // Losing a race is how compare-and-swap works, no news for anyone.
      if (isConflict(error)) turnLog.debug({ err: error, retryMs }, 'reconcile lost a race');
      else turnLog.warn({ err: error, retryMs }, 'reconcile failed');
    }
  };
  const worker = async (signal: AbortSignal) => {
    for (let key = await queue.take(); key !== undefined; key = await queue.take()) await work(key, signal);
  };
  return {
    /** Until the queue is closed and the last reconcile has really ended. */
    async run(signal: AbortSignal) {
      const loops = Array.from({ length: spec.concurrency ?? defaultConcurrency }, () => worker(signal));
      await Promise.all(loops);
      // Whoever leads next must not meet what we still do.
      await Promise.allSettled(bodies);
    },
  };
}

/** One turn for one name, finalizer included, as reconciler.ts promises. */
async function turn<T extends KubeObject>(
  spec: ControllerSpec<T>,
  client: KubeClient,
  cache: RunningCache<T>,
  ref: ObjectRef,
  context: ReconcileContext,
): Promise<Outcome> {
  const { reconciler, resource } = spec;
  const { finalizer } = reconciler;
  let object: Stored<T> | undefined = cache.get(ref);
  if (!object) return (await reconciler.gone?.(ref, context)) ?? done;
  if (finalizer === undefined) return await reconciler.reconcile(object, context);

  const options = { signal: context.signal };
  if (isDeleted(object)) {
    if (!hasFinalizer(object, finalizer)) return done; // Ours is over; others still clean up.
    const outcome = (await reconciler.finalize?.(object, context)) ?? done;
    if (outcome.kind !== 'done') return outcome;
    const left = await removeFinalizer(client, resource, object, finalizer, options);
    if (left) cache.remember(left);
    return done;
  }
  if (!hasFinalizer(object, finalizer)) {
    object = await addFinalizer(client, resource, object, finalizer, options);
    if (!object) return done; // Deleted meanwhile, before we had done anything: nothing to clean up.
    cache.remember(object);
    if (isDeleted(object)) return done; // The watch brings it back to be finalized.
  }
  return await reconciler.reconcile(object, context);
}

/**
 * Runs `body` within the limit. Past it the worker is free for other names; `started` gets the body's own
 * promise, for the name is given back only when it has really ended: never twice at once, even where it
 * ignores its signal.
 */
async function limited<R>(
  what: string,
  timeoutMs: number,
  signal: AbortSignal,
  started: (body: Promise<R>) => void,
  body: (signal: AbortSignal) => Promise<R>,
): Promise<R> {
  const own = new AbortController();
  const onAbort = () => own.abort(signal.reason);
  signal.addEventListener('abort', onAbort, { once: true });
  if (signal.aborted) onAbort();
  const limit = setTimeout(() => own.abort(new DeadlineError(what, timeoutMs)), timeoutMs);
  const over = new Promise<never>((_, reject) => {
    own.signal.addEventListener('abort', () => reject(own.signal.reason as Error), { once: true });
  });
  over.catch(() => undefined);
  const running = Promise.resolve().then(async () => await body(own.signal));
  started(running);
  try {
    return await Promise.race([running, over]);
  } finally {
    clearTimeout(limit);
    signal.removeEventListener('abort', onAbort);
  }
}

/**
 * Enqueues what changes from now on. `synced` resolves when every cache that there is has its first list, those of
 * other controllers too: a reconciler that reads one which is still empty would take what is not there for gone.
 */
function listen<T extends KubeObject>(
  spec: ControllerSpec<T>,
  cache: RunningCache<T>,
  caches: CacheSet,
  enqueue: (ref: ObjectRef) => void,
  signal: AbortSignal,
) {
  const subscriptions = disposables();
  subscriptions.add(cache.onChange(({ object }) => enqueue(refOf(object))));
  const lists = [caches.synced(signal)];
  for (const trigger of spec.triggers ?? []) {
    const { watched, subscription } = subscribe(trigger, caches, enqueue);
    subscriptions.add(subscription);
    lists.push(watched.synced(signal));
  }
  return { subscriptions, synced: Promise.all(lists) };
}

function subscribe(trigger: Trigger<never>, caches: CacheSet, enqueue: (ref: ObjectRef) => void) {
  const watched = caches.cache(trigger.resource as Resource, selectionOf(trigger));
  const map = trigger.map as (object: Stored<KubeObject>) => readonly ObjectRef[];
  const sees = trigger.sees as ((object: Stored<KubeObject>) => unknown) | undefined;
  const subscription = watched.onChange(({ type, object, old }) => {
    if (type === 'changed' && sees && old && isDeepStrictEqual(sees(object), sees(old))) return;
    for (const ref of map(object)) enqueue(ref);
    // What it pointed at before may need to let go of it.
    if (old) for (const ref of map(old)) enqueue(ref);
  });
  return { watched, subscription };
}

const selectionOf = (from: Selection): Selection => ({
  namespace: from.namespace,
  labelSelector: from.labelSelector,
  fieldSelector: from.fieldSelector,
});

function refOfKey(resource: Resource, key: string): ObjectRef {
  const slash = key.indexOf('/');
  if (!resource.namespaced || slash < 0) return { name: key };
  return { namespace: key.slice(0, slash), name: key.slice(slash + 1) };
}

function disposables() {
  const items: Disposable[] = [];
  return {
    add: (item: Disposable) => void items.push(item),
    [Symbol.dispose]() {
      for (const item of items) item[Symbol.dispose]();
    },
  };
}

import type { KubeObject, ObjectRef, Resource, Stored } from '../api/resource.ts';
import type { Logger } from '../lib/log.ts';
import type { Outcome } from './outcome.ts';

export interface ReconcileContext {
  readonly log: Logger;
  /** Aborts when the manager stops, leadership is lost, or the reconcile's time limit is over. */
  readonly signal: AbortSignal;
}

/**
 * Brings the world to what one object says. Called with the newest object in the cache, never twice
 * at once for one name; a throw is logged, counted and tried again with backoff. A request is only a
 * name: everything else is read anew.
 */
export interface Reconciler<T extends KubeObject> {
  readonly name: string;
  reconcile(object: Stored<T>, context: ReconcileContext): Promise<Outcome>;
  /** The object is gone from the cache (after finalizers); most need nothing here. */
  gone?(ref: ObjectRef, context: ReconcileContext): Promise<Outcome>;
  /**
   * With `finalizer`, the controller adds it before the first reconcile, calls `finalize` once the
   * object is deleted, and removes it only after `finalize` answered `done`.
   */
  readonly finalizer?: string;
  finalize?(object: Stored<T>, context: ReconcileContext): Promise<Outcome>;
}

/** Another kind whose changes enqueue names of the controller's own kind. */
export interface Trigger<W extends KubeObject = KubeObject> {
  readonly resource: Resource<W>;
  readonly namespace?: string;
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
  /** The names to look at when `object` was added, changed or deleted. */
  map(object: Stored<W>): readonly ObjectRef[];
  /** What of an object counts: a change that leaves it as it was is none. All of it where not said. */
  sees?(object: Stored<W>): unknown;
}

export interface ControllerSpec<T extends KubeObject> {
  readonly reconciler: Reconciler<T>;
  readonly resource: Resource<T>;
  readonly namespace?: string;
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
  readonly triggers?: readonly Trigger<never>[];
  /** Names worked on at once; 4 where not said. */
  readonly concurrency?: number;
  /** One reconcile's limit; 120 s where not said. */
  readonly timeoutMs?: number;
}

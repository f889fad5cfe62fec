import type { KubeObject, ObjectRef, Stored } from '../api/resource.ts';

/**
 * The newest known state of one selection of objects, kept by a watcher. Objects are shared: never
 * change one.
 */
export interface Cache<T extends KubeObject> {
  /** Resolves when the first whole list is in. */
  synced(signal: AbortSignal): Promise<void>;
  get(ref: ObjectRef): Stored<T> | undefined;
  list(namespace?: string): readonly Stored<T>[];
  /** Objects whose `index` function gave `value`. */
  byIndex(index: string, value: string): readonly Stored<T>[];
  /** Called after the change is in the cache; `object` is the last known state where it was deleted. */
  onChange(handler: (change: CacheChange<T>) => void): Disposable;
}

export interface CacheChange<T extends KubeObject> {
  readonly type: 'added' | 'changed' | 'deleted';
  readonly object: Stored<T>;
  readonly old?: Stored<T>;
}

export type IndexFunctions<T extends KubeObject> = Readonly<
  Record<string, (object: Stored<T>) => readonly string[]>
>;

import { keyOf, refOf, type KubeObject, type ObjectRef, type Stored } from '../api/resource.ts';
import type { IndexFunctions } from './cache.ts';

/** Objects by name, by namespace, and by the values that index functions give. */
export interface ObjectStore<T extends KubeObject> {
  readonly size: number;
  get(ref: ObjectRef): Stored<T> | undefined;
  set(object: Stored<T>): Stored<T> | undefined;
  remove(ref: ObjectRef): Stored<T> | undefined;
  values(namespace?: string): Stored<T>[];
  byIndex(index: string, value: string): Stored<T>[];
  addIndexes(functions: IndexFunctions<T>): void;
}

interface Index<T extends KubeObject> {
  readonly valuesOf: (object: Stored<T>) => readonly string[];
  readonly buckets: Map<string, Map<string, Stored<T>>>;
}

const namespaceIndex = '\u0000namespace';

export function createObjectStore<T extends KubeObject>(): ObjectStore<T> {
  const objects = new Map<string, Stored<T>>();
  const indexes = new Map<string, Index<T>>();

  const put = (index: Index<T>, key: string, object: Stored<T>) => {
    for (const value of index.valuesOf(object)) {
      const bucket = index.buckets.get(value) ?? new Map<string, Stored<T>>();
      bucket.set(key, object);
      index.buckets.set(value, bucket);
    }
  };
  const drop = (index: Index<T>, key: string, object: Stored<T>) => {
    for (const value of index.valuesOf(object)) {
      const bucket = index.buckets.get(value);
      bucket?.delete(key);
      if (bucket?.size === 0) index.buckets.delete(value);
    }
  };
  const store: ObjectStore<T> = {
    get size() {
      return objects.size;
    },
    get: (ref) => objects.get(keyOf(ref)),
    set(object) {
      const key = keyOf(refOf(object));
      const old = objects.get(key);
      for (const index of indexes.values()) {
        if (old) drop(index, key, old);
        put(index, key, object);
      }
      objects.set(key, object);
      return old;
    },
    remove(ref) {
      const key = keyOf(ref);
      const old = objects.get(key);
      if (!old) return undefined;
      for (const index of indexes.values()) drop(index, key, old);
      objects.delete(key);
      return old;
    },
    values: (namespace) =>
      namespace === undefined ? [...objects.values()] : store.byIndex(namespaceIndex, namespace),
    byIndex(name, value) {
      const index = indexes.get(name);
      if (!index) throw new Error(`no index ${name}`);
      return [...(index.buckets.get(value)?.values() ?? [])];
    },
    addIndexes(functions) {
      for (const [name, valuesOf] of Object.entries(functions)) {
        if (indexes.has(name)) continue;
        const index: Index<T> = { valuesOf, buckets: new Map() };
        for (const [key, object] of objects) put(index, key, object);
        indexes.set(name, index);
      }
    },
  };
  store.addIndexes({
    [namespaceIndex]: (object) => [object.metadata.namespace ?? ''],
  });
  return store;
}

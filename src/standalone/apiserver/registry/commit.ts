import { ApiError, internalError, notFound, serverTimeout } from '../status.ts';
import type { ApiObject, KindInfo } from '../kind.ts';
import { isStoreError } from '../store/store.ts';
import { atVersion } from './json.ts';
import type { RegistryDeps } from './request.ts';
import { decode, encode, fullKey, localKey, storageOf, toStorage } from './storage-form.ts';

/** What a change makes of the live object. */
export type Outcome =
  | { readonly put: ApiObject }
  | { readonly remove: ApiObject }
  | { readonly same: ApiObject };

export interface Changed {
  /** In the storage's version, at its new revision. */
  readonly object: ApiObject;
  readonly removed: boolean;
}

const maxAttempts = 16;

function refused(error: unknown): unknown {
  if (isStoreError(error, 'TOO_LARGE'))
    return new ApiError(
      413,
      'RequestEntityTooLarge',
      'Request entity too large: the object is too large to be stored',
    );
  if (isStoreError(error, 'OUTCOME_UNKNOWN'))
    return serverTimeout('the store did not answer; the change may or may not have been made', error);
  if (isStoreError(error)) return internalError('the store is not available', error);
  return error;
}

/** Gives what was written to the cache, as the store has it and shared with no caller; answers the same. */
function taken(
  { cache }: RegistryDeps,
  storage: string,
  local: string,
  value: string,
  revision: number,
): ApiObject {
  const object = decode(value, revision);
  cache.committed(revision, { storage, local, object });
  return object;
}

/** Writes a new object. `false` where the name is taken. */
export async function commitNew(
  deps: RegistryDeps,
  kind: KindInfo,
  namespace: string | undefined,
  name: string,
  object: ApiObject,
  signal: AbortSignal,
): Promise<ApiObject | false> {
  const storage = storageOf(kind);
  const local = localKey(namespace, name);
  const value = encode(toStorage(kind, object));
  try {
    const result = await deps.store.commit([{ key: fullKey(storage, local), expected: 0, value }], signal);
    if (!result.committed) return false;
    return taken(deps, storage, local, value, result.revision);
  } catch (error) {
    throw refused(error);
  }
}

/**
 * Reads the object, lets `change` decide, and writes it if nobody else did meanwhile; else once more with
 * what is there now. `change` throws to refuse, and may be called several times.
 */
export async function commitChange(
  deps: RegistryDeps,
  kind: KindInfo,
  namespace: string | undefined,
  name: string,
  options: { readonly dryRun: boolean; readonly signal: AbortSignal },
  change: (live: ApiObject) => Promise<Outcome> | Outcome,
): Promise<Changed> {
  const { store, cache } = deps;
  const storage = storageOf(kind);
  const local = localKey(namespace, name);
  await cache.fresh(options.signal);
  let live = cache.of(storage).get(local);
  for (let attempt = 0; attempt < maxAttempts; attempt++) {
    if (!live) throw notFound(kind, name);
    const outcome = await change(live);
    if ('same' in outcome) return { object: outcome.same, removed: false };
    const removed = 'remove' in outcome;
    const next = toStorage(kind, removed ? outcome.remove : outcome.put);
    if (options.dryRun) return { object: next, removed };
    const expected = Number(live.metadata?.resourceVersion ?? 0);
    const key = fullKey(storage, local);
    const value = removed ? undefined : encode(next);
    const result = await store.commit([{ key, expected, value }], options.signal).catch((error: unknown) => {
      throw refused(error);
    });
    if (result.committed) {
      const { revision } = result;
      if (value !== undefined) return { object: taken(deps, storage, local, value, revision), removed };
      cache.committed(revision, { storage, local, object: undefined });
      return { object: atVersion(next, revision), removed };
    }
    const current = result.current[0];
    live = current && decode(current.value, current.revision);
  }
  throw serverTimeout(`${kind.plural} "${name}" changed too often while it was being written`);
}

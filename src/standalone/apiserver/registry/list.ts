import { badRequest, expired, isApiError, notFound, tooLargeResourceVersion } from '../status.ts';
import type { ApiObject, JsonObject, KindInfo } from '../kind.ts';
import type { Snapshot } from './kind-cache.ts';
import type { RegistryDeps } from './request.ts';
import { localKey, storageOf, toVersion } from './storage-form.ts';

/** Which objects: in a namespace or everywhere, and by selectors. */
export interface Selection {
  readonly namespace: string | undefined;
  /** Absent: all. Gets the object in the version that was asked for. */
  readonly matches?: ((object: ApiObject) => boolean) | undefined;
}

export interface ListQuery {
  readonly limit?: number | undefined;
  readonly continueToken?: string | undefined;
  readonly resourceVersion?: string | undefined;
  readonly resourceVersionMatch?: string | undefined;
}

export interface ListPage {
  readonly items: readonly ApiObject[];
  readonly metadata: JsonObject;
}

/** How long a reader waits for a revision that is not there yet. */
export const futureWaitMs = 3_000;

const views = new WeakMap<ApiObject, Map<string, ApiObject>>();

/** The stored object as a version shows it; the same one each time, so that its text is made once. */
export function viewOf(kind: KindInfo, object: ApiObject): ApiObject {
  const view = toVersion(kind, object);
  if (view === object) return object;
  let known = views.get(object);
  if (!known) views.set(object, (known = new Map()));
  const key = `${kind.group}/${kind.version}`;
  const before = known.get(key);
  if (before) return before;
  known.set(key, view);
  return view;
}

export function parseRevision(text: string | undefined): number | undefined {
  if (text === undefined || text === '') return undefined;
  if (!/^\d{1,15}$/.test(text))
    throw badRequest(`Invalid value: "${text}": resourceVersion must be a number`);
  return Number(text);
}

/** Resolves when the cache shows at least what the reader asked for. */
export async function readable(
  { cache }: RegistryDeps,
  revision: number | undefined,
  signal: AbortSignal,
): Promise<void> {
  if (revision === undefined) return await cache.fresh(signal);
  if (revision > 0 && !(await cache.reached(revision, futureWaitMs, signal)))
    throw tooLargeResourceVersion(revision, cache.revision);
}

export async function getObject(
  deps: RegistryDeps,
  kind: KindInfo,
  namespace: string | undefined,
  name: string,
  signal: AbortSignal,
  resourceVersion?: string,
): Promise<ApiObject> {
  await readable(deps, parseRevision(resourceVersion), signal);
  const object = deps.cache.of(storageOf(kind)).get(localKey(namespace, name));
  if (!object) throw notFound(kind, name);
  return viewOf(kind, object);
}

interface Token {
  /** The revision that all pages show; -1 for the present. */
  readonly rv: number;
  /** The last key given. */
  readonly after: string;
}

const encodeToken = (token: Token) => Buffer.from(JSON.stringify(token)).toString('base64url');

function decodeToken(text: string): Token {
  try {
    const token = JSON.parse(Buffer.from(text, 'base64url').toString()) as Partial<Token>;
    if (Number.isSafeInteger(token.rv) && typeof token.after === 'string') return token as Token;
  } catch {
    // Told below, as for a token of a wrong shape.
  }
  throw badRequest('continue key is not valid');
}

/** Index of the first key after `after`; the keys are in order. */
export function indexAfter(keys: readonly string[], after: string): number {
  let low = 0;
  let high = keys.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((keys[middle] as string) <= after) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Walks the selected objects in order, from after a key; `visit` says false to stop. */
export function walk(
  kind: KindInfo,
  snapshot: Snapshot,
  selection: Selection,
  after: string | undefined,
  visit: (object: ApiObject, key: string) => boolean,
): void {
  const { keys } = snapshot;
  const prefix = selection.namespace === undefined ? '' : `${selection.namespace}/`;
  const start =
    after === undefined ? (prefix === '' ? 0 : indexAfter(keys, prefix)) : indexAfter(keys, after);
  for (let i = start; i < keys.length; i++) {
    const key = keys[i] as string;
    if (!key.startsWith(prefix)) break;
    const object = snapshot.get(key);
    if (!object) continue;
    const view = viewOf(kind, object);
    if (selection.matches && !selection.matches(view)) continue;
    if (!visit(view, key)) break;
  }
}

interface Start {
  readonly snapshot: Snapshot;
  readonly revision: number;
  readonly after: string | undefined;
}

/** Where a list starts: which state, and after which key. */
async function startOf(
  deps: RegistryDeps,
  kind: KindInfo,
  query: ListQuery,
  signal: AbortSignal,
): Promise<Start> {
  const { resourceVersion, resourceVersionMatch: match, continueToken } = query;
  const asked = parseRevision(resourceVersion);
  const cache = deps.cache.of(storageOf(kind));
  if (match !== undefined && match !== '') {
    if (continueToken) throw badRequest('resourceVersionMatch is forbidden when continue is provided');
    if (asked === undefined)
      throw badRequest('resourceVersionMatch is forbidden unless resourceVersion is provided');
    if (match !== 'Exact' && match !== 'NotOlderThan')
      throw badRequest(
        `resourceVersionMatch: Unsupported value: "${match}": supported values: "Exact", "NotOlderThan"`,
      );
    if (match === 'Exact' && asked === 0)
      throw badRequest('resourceVersionMatch "Exact" is forbidden for resourceVersion "0"');
  }
  if (continueToken) {
    if (asked !== undefined && asked !== 0)
      throw badRequest('specifying resource version is not allowed when using continue');
    const token = decodeToken(continueToken);
    await deps.cache.fresh(signal);
    const snapshot = cache.snapshot(token.rv < 0 ? undefined : token.rv);
    if (!snapshot)
      throw expired(
        'The provided continue parameter is too old to display a consistent list result. Start a new list without it, or go on with the token of this answer, which may show objects that changed meanwhile.',
        { continue: encodeToken({ rv: -1, after: token.after }) },
      );
    return { snapshot, revision: token.rv < 0 ? deps.cache.revision : token.rv, after: token.after };
  }
  await readable(deps, asked, signal);
  // A limit with a plain resourceVersion has always meant exactly that version.
  const exact = match === 'Exact' || (!match && query.limit && asked);
  const revision = exact && asked ? asked : deps.cache.revision;
  const snapshot = cache.snapshot(exact ? revision : undefined);
  if (!snapshot) throw expired(`The resourceVersion for the provided list is too old.`);
  return { snapshot, revision, after: undefined };
}

/** One page of objects, all as of one revision. */
export async function listObjects(
  deps: RegistryDeps,
  kind: KindInfo,
  selection: Selection,
  query: ListQuery,
  signal: AbortSignal,
): Promise<ListPage> {
  const { snapshot, revision, after } = await startOf(deps, kind, query, signal);
  const { limit } = query;
  const items: ApiObject[] = [];
  let last: string | undefined;
  let more = false;
  let remaining = 0;
  walk(kind, snapshot, selection, after, (object, key) => {
    if (limit && items.length >= limit) {
      more = true;
      // With a selector the count is not told, so the first one more is enough.
      if (selection.matches) return false;
      remaining++;
      return true;
    }
    items.push(object);
    last = key;
    return true;
  });
  return {
    items,
    metadata: {
      resourceVersion: String(revision),
      ...(more && last !== undefined ? { continue: encodeToken({ rv: revision, after: last }) } : {}),
      ...(more && !selection.matches ? { remainingItemCount: remaining } : {}),
    },
  };
}

export const isExpired = (error: unknown): boolean => isApiError(error, 'Expired');

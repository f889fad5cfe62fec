import { isDeepStrictEqual } from 'node:util';
import { refOf, type KubeObject, type Resource, type Stored } from '../api/resource.ts';
import type { KubeClient, WriteOptions } from './client.ts';

type Json = Record<string, unknown>;

const isPlain = (value: unknown): value is Json =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/**
 * The merge patch (RFC 7386) that turns `from` into `to`, or undefined where they are the same. Fields
 * that `to` lacks, or has as undefined, are removed; lists are replaced whole.
 */
export function mergePatchBetween(from: unknown, to: unknown): Json | undefined {
  const before = isPlain(from) ? from : {};
  const after = isPlain(to) ? to : {};
  const patch: Json = {};
  for (const key of new Set([...Object.keys(before), ...Object.keys(after)])) {
    const [a, b] = [before[key], after[key]];
    if (b === undefined || b === null) {
      if (a !== undefined && a !== null) patch[key] = null;
    } else if (isPlain(a) && isPlain(b)) {
      const inner = mergePatchBetween(a, b);
      if (inner) patch[key] = inner;
    } else if (!isDeepStrictEqual(a, b)) {
      patch[key] = withoutUndefined(b);
    }
  }
  return Object.keys(patch).length === 0 ? undefined : patch;
}

const withoutUndefined = (value: unknown): unknown => JSON.parse(JSON.stringify(value)) as unknown;

/**
 * Changes what differs between the object as read and as wanted, spec and metadata, by a merge patch;
 * sends nothing where nothing does. The patch carries the revision read where `ifUnchanged`, so that a
 * write in between gives Conflict.
 */
export async function patchDifference<T extends KubeObject>(
  client: KubeClient,
  resource: Resource<T>,
  current: Stored<T>,
  wanted: T,
  options: WriteOptions & { readonly ifUnchanged?: boolean },
): Promise<Stored<T>> {
  const from = { ...current, status: undefined };
  const to = { ...wanted, status: undefined };
  return await send(client, resource, current, mergePatchBetween(from, to), options);
}

/** Writes `status` by a merge patch to the status subresource; sends nothing where nothing differs. */
export async function patchStatus<T extends KubeObject & { status?: unknown }>(
  client: KubeClient,
  resource: Resource<T>,
  current: Stored<T>,
  status: NonNullable<T['status']>,
  options: Omit<WriteOptions, 'subresource'> & { readonly ifUnchanged?: boolean },
): Promise<Stored<T>> {
  const difference = mergePatchBetween(current.status, status);
  const body = difference && { status: difference };
  return await send(client, resource, current, body, { ...options, subresource: 'status' });
}

async function send<T extends KubeObject>(
  client: KubeClient,
  resource: Resource<T>,
  current: Stored<T>,
  body: Json | undefined,
  { ifUnchanged, ...options }: WriteOptions & { readonly ifUnchanged?: boolean },
): Promise<Stored<T>> {
  if (!body) return current;
  const { resourceVersion, uid } = current.metadata;
  // The uid keeps a patch from reaching an object that was made anew under the same name.
  const guard = ifUnchanged ? { uid, resourceVersion } : { uid };
  const metadata = { ...(isPlain(body['metadata']) ? body['metadata'] : {}), ...guard };
  return await client.patch(
    resource,
    refOf(current),
    { type: 'merge', body: { ...body, metadata } },
    options,
  );
}

import type { ObjectMeta } from 'kubernetes-types/meta/v1.js';
import type { ApiObject, Json, JsonObject } from '../kind.ts';

/** Same JSON value; the order of keys and keys that are undefined do not count. */
export function sameJson(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false;
  if (Array.isArray(a) || Array.isArray(b))
    return (
      Array.isArray(a) &&
      Array.isArray(b) &&
      a.length === b.length &&
      a.every((item, i) => sameJson(item, b[i]))
    );
  const left = a as Record<string, unknown>;
  const right = b as Record<string, unknown>;
  for (const key of Object.keys(left)) if (!sameJson(left[key], right[key])) return false;
  for (const key of Object.keys(right)) if (right[key] !== undefined && left[key] === undefined) return false;
  return true;
}

export const isObject = (value: unknown): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** Metadata that its writer may change, fields of the server's own included. */
export type OwnMeta = { -readonly [K in keyof ObjectMeta]: ObjectMeta[K] };

/** The object's metadata, made where it is absent. Writers only. */
export function metaOf(object: ApiObject): OwnMeta {
  if (!isObject(object.metadata)) (object as JsonObject)['metadata'] = {};
  return object.metadata as OwnMeta;
}

/** The value at a dotted path: `spec.nodeName`. */
export function valueAt(object: unknown, path: string): Json | undefined {
  let value: unknown = object;
  for (const part of path.split('.')) {
    if (part === '') continue;
    if (!isObject(value)) return undefined;
    value = value[part];
  }
  return value as Json | undefined;
}

/** Sets the value at a dotted path, making the objects on the way. */
export function setAt(object: JsonObject, path: string, value: Json): void {
  const parts = path.split('.').filter((part) => part !== '');
  let at = object;
  for (const part of parts.slice(0, -1)) {
    if (!isObject(at[part])) at[part] = {};
    at = at[part] as JsonObject;
  }
  at[parts.at(-1) as string] = value;
}

/** As Kubernetes writes times: seconds, UTC. */
export const rfc3339 = (ms: number): string => `${new Date(ms).toISOString().slice(0, 19)}Z`;

/** The object with another resource version; the original is shared and stays as it is. */
export const atVersion = (object: ApiObject, resourceVersion: number): ApiObject =>
  ({ ...object, metadata: { ...object.metadata, resourceVersion: String(resourceVersion) } }) as ApiObject;

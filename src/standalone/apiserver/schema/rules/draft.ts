import type { Json, JsonObject } from '../../kind.ts';
import { isJsonObject } from '../walk.ts';

// Defaults are filled in before an object is checked, so nothing is known of its shape yet.

/** The object in a field, or undefined where the field holds none. */
export function mapIn(parent: JsonObject | undefined, field: string): JsonObject | undefined {
  const value = parent?.[field];
  return isJsonObject(value) ? value : undefined;
}

/** The object in a field, made where the field is absent. */
export function ensureMap(parent: JsonObject, field: string): JsonObject | undefined {
  setAbsent(parent, field, {});
  return mapIn(parent, field);
}

/** The objects in a list; none where the field is no list. */
export function mapsIn(parent: JsonObject | undefined, field: string): JsonObject[] {
  const value = parent?.[field];
  return Array.isArray(value) ? value.filter(isJsonObject) : [];
}

export function setAbsent(parent: JsonObject | undefined, field: string, value: Json): void {
  if (parent && (parent[field] === undefined || parent[field] === null)) parent[field] = value;
}

/** For fields whose empty value (`''`, 0) means that nothing was said. */
export function setEmpty(parent: JsonObject | undefined, field: string, value: Json): void {
  if (parent && !parent[field]) parent[field] = value;
}

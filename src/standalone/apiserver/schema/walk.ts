import type { Json, JsonObject, StructuralSchema } from '../kind.ts';

export const isJsonObject = (value: unknown): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** The schema of one field: a property, else what additionalProperties say, else undefined (unknown). */
export function fieldSchemaOf(schema: StructuralSchema, field: string): StructuralSchema | undefined {
  const properties = schema.properties;
  if (properties && Object.hasOwn(properties, field)) return properties[field];
  return typeof schema.additionalProperties === 'object' ? schema.additionalProperties : undefined;
}

/** `spec.a`, or `a[key]` where the field is a key of a map with dots in it. */
export function childPath(path: string, field: string): string {
  if (/[.[\]]/.test(field)) return `${path}[${field}]`;
  return path === '' ? field : `${path}.${field}`;
}

/** Same JSON, whatever the order of keys. */
export function jsonEqual(a: Json | undefined, b: Json | undefined): boolean {
  if (a === b) return true;
  if (Array.isArray(a))
    return Array.isArray(b) && a.length === b.length && a.every((item, i) => jsonEqual(item, b[i]));
  if (!isJsonObject(a) || !isJsonObject(b)) return false;
  const keys = Object.keys(a);
  return (
    keys.length === Object.keys(b).length &&
    keys.every((key) => Object.hasOwn(b, key) && jsonEqual(a[key], b[key]))
  );
}

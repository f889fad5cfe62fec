import type { Json, JsonObject, StructuralSchema } from '../kind.ts';
import { fieldSchemaOf, isJsonObject } from './walk.ts';

/**
 * The object with the schema's defaults filled in, at every depth of what is there. A null in a field that is
 * not nullable and has a default counts as absent. Parts that need nothing are shared with the argument.
 */
export function withDefaults(schema: StructuralSchema, object: unknown): unknown {
  return hasDefaults(schema, new Set()) ? fill(schema, object as Json) : object;
}

const known = new WeakMap<StructuralSchema, boolean>();

/** Whether any default is in a schema: most built-in types have none, and need no walk. */
function hasDefaults(schema: StructuralSchema, above: Set<StructuralSchema>): boolean {
  const cached = known.get(schema);
  if (cached !== undefined) return cached;
  if (above.has(schema)) return false;
  above.add(schema);
  const { additionalProperties: more } = schema;
  const has =
    schema.default !== undefined ||
    Object.values(schema.properties ?? {}).some((child) => hasDefaults(child, above)) ||
    (schema.items !== undefined && hasDefaults(schema.items, above)) ||
    (typeof more === 'object' && hasDefaults(more, above));
  above.delete(schema);
  if (has || above.size === 0) known.set(schema, has);
  return has;
}

function fill(schema: StructuralSchema, value: Json): Json {
  if (Array.isArray(value)) {
    const { items } = schema;
    return items ? value.map((item) => fill(items, item)) : value;
  }
  if (!isJsonObject(value)) return value;
  const result: JsonObject = {};
  for (const [field, child] of Object.entries(value)) {
    const own = fieldSchemaOf(schema, field);
    if (child === null && own?.default !== undefined && !own.nullable) continue;
    result[field] = own ? fill(own, child) : child;
  }
  for (const [field, own] of Object.entries(schema.properties ?? {}))
    if (own.default !== undefined && !Object.hasOwn(result, field))
      result[field] = fill(own, structuredClone(own.default));
  return result;
}

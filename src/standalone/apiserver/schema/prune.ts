import { cloneJson } from '../../../lib/clone-json.ts';
import type { Json, JsonObject, StructuralSchema } from '../kind.ts';
import { objectMetaSchema, typeNameOf } from './builtin-schemas.ts';
import { childPath, fieldSchemaOf, isJsonObject } from './walk.ts';

const headFields = ['apiVersion', 'kind', 'metadata'];

/**
 * A copy of `object` without the fields that the schema does not know, and their paths. Nulls in built-in
 * types go too, for there they mean a field that is absent. The object itself is not touched.
 */
export function pruned(schema: StructuralSchema, object: unknown): { object: unknown; unknown: string[] } {
  const unknown: string[] = [];
  return { object: prune(schema, object as Json, '', unknown, true), unknown };
}

function prune(
  schema: StructuralSchema,
  value: Json,
  path: string,
  unknown: string[],
  isRoot: boolean,
): Json {
  if (Array.isArray(value)) {
    const items = schema.items;
    return items
      ? value.map((item, i) => prune(items, item, `${path}[${i}]`, unknown, false))
      : cloneJson(value);
  }
  if (!isJsonObject(value)) return value;
  const keepsUnknown = schema['x-kubernetes-preserve-unknown-fields'] === true;
  const hasHead = isRoot || schema['x-kubernetes-embedded-resource'] === true;
  const builtin = typeNameOf(schema) !== undefined;
  const anyField = schema.additionalProperties === true;
  const result: JsonObject = {};
  for (const [field, child] of Object.entries(value)) {
    if (builtin && child === null) continue;
    const head = hasHead && headFields.includes(field);
    const known = head && field === 'metadata' ? objectMetaSchema() : fieldSchemaOf(schema, field);
    if (known) result[field] = prune(known, child, childPath(path, field), unknown, false);
    else if (keepsUnknown || head || anyField) result[field] = cloneJson(child);
    else unknown.push(childPath(path, field));
  }
  return result;
}

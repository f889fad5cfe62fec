import { types } from '../../../gen/kinds.js';
import type { StructuralSchema } from '../kind.ts';
import {
  atomicTypes,
  byteFields,
  isLenient,
  isWide,
  keyDefaults,
  listTypes,
  mapTypes,
  objectPatchStrategies,
} from './list-keys.ts';
import { newerFields } from './newer-fields.ts';

type Draft = { -readonly [Key in keyof StructuralSchema]: StructuralSchema[Key] };

const schemas = new Map<string, StructuralSchema>();
const names = new WeakMap<StructuralSchema, string>();

/** The type's name, such as `core/v1.PodSpec`, where a schema is one of a built-in type; else undefined. */
export const typeNameOf = (schema: StructuralSchema): string | undefined => names.get(schema);

/**
 * The schema of a built-in type. Its properties are made when they are first read, for the types are many and
 * one of them (a CRD's own schema) holds itself: such a schema must be walked beside an object, never alone.
 */
export function builtinSchema(type: string): StructuralSchema {
  let schema = schemas.get(type);
  if (!schema) {
    schema = objectSchema(type, undefined);
    schemas.set(type, schema);
  }
  return schema;
}

function objectSchema(type: string, mapType: 'atomic' | 'granular' | undefined): StructuralSchema {
  const code = [types[type], newerFields[type]].filter(Boolean).join(' ');
  if (code === '' && !(type in types)) throw new Error(`no built-in type ${type}`);
  const fields = code === '' ? [] : code.split(' ').map(parseField);
  const required = fields.filter((f) => f.required && !isLenient(type, f.name)).map((f) => f.name);
  let properties: Record<string, StructuralSchema> | undefined;
  const atomic = mapType ?? (atomicTypes.has(type) ? 'atomic' : undefined);
  const schema: StructuralSchema = {
    type: 'object',
    get properties() {
      properties ??= Object.fromEntries(fields.map((f) => [f.name, fieldSchema(type, f.name, f.code)]));
      return properties;
    },
    ...(required.length > 0 && { required }),
    ...(atomic && { 'x-kubernetes-map-type': atomic }),
  };
  names.set(schema, type);
  return schema;
}

function parseField(token: string): { name: string; required: boolean; code: string } {
  const colon = token.indexOf(':');
  const required = token[colon - 1] === '!';
  return { name: token.slice(0, required ? colon - 1 : colon), required, code: token.slice(colon + 1) };
}

function fieldSchema(type: string, field: string, code: string): StructuralSchema {
  const path = `${type}.${field}`;
  const mapType = mapTypes[path];
  const strategy = objectPatchStrategies[path];
  if (code.startsWith('[')) return listSchema(path, scalarOrRef(path, field, code.slice(1)));
  if (code.startsWith('{')) {
    return {
      type: 'object',
      additionalProperties: scalarOrRef(path, field, code.slice(1)),
      ...(mapType && { 'x-kubernetes-map-type': mapType }),
    };
  }
  if (strategy || (mapType && code.length > 1)) {
    const own = objectSchema(code, mapType) as Draft;
    if (strategy) own['x-kubernetes-patch-strategy'] = strategy;
    return own;
  }
  return scalarOrRef(path, field, code);
}

function listSchema(path: string, items: StructuralSchema): StructuralSchema {
  const rule = listTypes[path];
  const schema: Draft = { type: 'array', items, 'x-kubernetes-list-type': 'atomic' };
  if (!rule) return schema;
  const [merge = '', patch] = rule.split(' ');
  const [kind, keys] = merge.split(':');
  schema['x-kubernetes-list-type'] = kind as 'atomic' | 'set' | 'map';
  if (keys) schema['x-kubernetes-list-map-keys'] = keys.split(',');
  if (patch) {
    const [strategy = '', key] = patch.split('/');
    schema['x-kubernetes-patch-strategy'] = strategy;
    if (key) schema['x-kubernetes-patch-merge-key'] = key;
  }
  return schema;
}

const scalars: Readonly<Record<string, StructuralSchema>> = {
  s: { type: 'string' },
  b: { type: 'boolean' },
  n: { type: 'number', format: 'double' },
  x: { 'x-kubernetes-int-or-string': true, format: 'int-or-string' },
  q: { 'x-kubernetes-int-or-string': true, format: 'quantity' },
  t: { type: 'string', format: 'date-time' },
  u: { type: 'string', format: 'date-time' },
  '*': { 'x-kubernetes-preserve-unknown-fields': true },
};
const narrow: StructuralSchema = { type: 'integer', format: 'int32' };
const wide: StructuralSchema = { type: 'integer', format: 'int64' };
const bytes: StructuralSchema = { type: 'string', format: 'byte' };

function scalarOrRef(path: string, field: string, code: string): StructuralSchema {
  if (code.startsWith('[')) return listSchema(path, scalarOrRef(path, field, code.slice(1)));
  if (code === 'i') return isWide(field) ? wide : narrow;
  if (code === 's' && byteFields.has(path)) return bytes;
  const scalar = scalars[code];
  if (!scalar) return builtinSchema(code);
  const preset = keyDefaults[path];
  return preset === undefined ? scalar : { ...scalar, default: preset };
}

/** The schema of metadata, the same for every kind. */
export const objectMetaSchema = (): StructuralSchema => builtinSchema('meta/v1.ObjectMeta');

import { kubernetesVersion } from '../../../api/kubernetes-version.ts';
import type { Json, JsonObject, KindInfo, StructuralSchema } from '../kind.ts';
import { typeNameOf } from '../schema/builtin-schemas.ts';
import { encodeDocument } from './gnostic-wire.ts';

type Definitions = Record<string, JsonObject>;

const refOf = (name: string): JsonObject => ({ $ref: `#/definitions/${name}` });
const definitionOfType = (type: string) => `io.k8s.api.${type.replace('/', '.')}`;

function definitionName(kind: KindInfo): string {
  const type = typeNameOf(kind.schema);
  if (type) return definitionOfType(type);
  return `${kind.group.split('.').reverse().join('.')}.${kind.version}.${kind.kind}`;
}

/**
 * The Swagger 2.0 document of all kinds: what kubectl up to 1.26 reads before it applies, creates or explains,
 * and newer ones where the third version does not answer.
 */
export function openApiV2Json(kinds: readonly KindInfo[]): JsonObject {
  const definitions: Definitions = {};
  const paths: JsonObject = {};
  for (const kind of kinds) {
    const name = definitionName(kind);
    const gvk: JsonObject = { group: kind.group, version: kind.version, kind: kind.kind };
    addDefinition(definitions, name, kind.schema);
    const own = definitions[name];
    if (own) own['x-kubernetes-group-version-kind'] = [gvk];
    addPaths(paths, kind, gvk);
  }
  return {
    swagger: '2.0',
    info: { title: 'Kubernetes', version: kubernetesVersion.gitVersion },
    paths,
    definitions,
  };
}

/** The same document as a gnostic openapi_v2.Document. */
export const openApiV2Protobuf = (kinds: readonly KindInfo[]): Uint8Array =>
  encodeDocument(openApiV2Json(kinds));

const query = (name: string, description: string): Json => ({
  name,
  in: 'query',
  description,
  type: 'string',
  uniqueItems: true,
});
const writeParameters: Json[] = [
  query('dryRun', 'All: everything is done but storing the result.'),
  query('fieldManager', 'The name that owns the fields this request sets.'),
  query('fieldValidation', 'What unknown fields do: Ignore, Warn or Strict.'),
];
const patchTypes = (builtin: boolean): Json[] => [
  'application/json-patch+json',
  'application/merge-patch+json',
  ...(builtin ? ['application/strategic-merge-patch+json'] : []),
  'application/apply-patch+yaml',
];

function addPaths(paths: JsonObject, kind: KindInfo, gvk: JsonObject): void {
  const root = kind.group === '' ? `/api/${kind.version}` : `/apis/${kind.group}/${kind.version}`;
  const base = `${root}${kind.namespaced ? '/namespaces/{namespace}' : ''}/${kind.plural}`;
  const operation = (action: string, consumes?: Json[]): JsonObject => ({
    ...(consumes && { consumes }),
    produces: ['application/json', 'application/yaml'],
    parameters: action === 'get' || action === 'list' ? [] : writeParameters,
    'x-kubernetes-action': action,
    'x-kubernetes-group-version-kind': gvk,
  });
  const any: Json[] = ['*/*'];
  const has = (verb: string) => kind.verbs.includes(verb);
  paths[base] = {
    ...(has('list') && { get: operation('list') }),
    ...(has('create') && { post: operation('post', any) }),
  };
  if (!has('get')) return;
  paths[`${base}/{name}`] = {
    get: operation('get'),
    put: operation('put', any),
    patch: operation('patch', patchTypes(kind.builtin)),
    delete: operation('delete', any),
  };
}

function addDefinition(definitions: Definitions, name: string, schema: StructuralSchema): void {
  if (definitions[name]) return;
  const made: JsonObject = {};
  definitions[name] = made; // Set before it is filled: a type may hold itself.
  Object.assign(made, schemaBody(definitions, schema));
}

const extensionsOf = (schema: StructuralSchema): JsonObject =>
  Object.fromEntries(
    // Rules in CEL are of no use to these clients, and long.
    Object.entries(schema).filter(([name]) => name.startsWith('x-') && name !== 'x-kubernetes-validations'),
  ) as JsonObject;

/** A schema where built-in types are references, with what the field itself says of merging beside them. */
function schemaJson(definitions: Definitions, schema: StructuralSchema): JsonObject {
  const type = typeNameOf(schema);
  if (!type) return schemaBody(definitions, schema);
  const name = definitionOfType(type);
  addDefinition(definitions, name, schema);
  return { ...refOf(name), ...extensionsOf(schema) };
}

function schemaBody(definitions: Definitions, schema: StructuralSchema): JsonObject {
  const { type, format, description, required, properties, items, additionalProperties } = schema;
  const said: JsonObject = { ...(description && { description }), ...extensionsOf(schema) };
  // Version 2 knows no null, and kubectl would refuse a field that its type does not name: so neither is typed.
  if (schema.nullable || schema['x-kubernetes-preserve-unknown-fields']) return said;
  const scalar =
    !type && format ? { type: 'string', format } : { ...(type && { type }), ...(format && { format }) };
  return {
    ...said,
    ...scalar,
    ...(schema.default !== undefined && { default: schema.default }),
    ...(schema.enum && { enum: [...schema.enum] }),
    ...(required && required.length > 0 && { required: [...required] }),
    ...(properties && {
      properties: Object.fromEntries(
        Object.entries(properties).map(([field, child]) => [field, schemaJson(definitions, child)]),
      ),
    }),
    ...(items && { items: schemaJson(definitions, items) }),
    ...(additionalProperties !== undefined && {
      additionalProperties:
        typeof additionalProperties === 'boolean'
          ? additionalProperties
          : schemaJson(definitions, additionalProperties),
    }),
  };
}

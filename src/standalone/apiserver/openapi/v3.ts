import { kubernetesVersion } from '../../../api/kubernetes-version.ts';
import { createHash } from 'node:crypto';
import type { Json, JsonObject, KindInfo, StructuralSchema } from '../kind.ts';
import { typeNameOf } from '../schema/builtin-schemas.ts';

const pathOf = (group: string, version: string) =>
  group === '' ? `api/${version}` : `apis/${group}/${version}`;

/** `/openapi/v3`: where each group version's document is. The hash changes whenever the kinds do. */
export function openApiV3Index(kinds: readonly KindInfo[]): JsonObject {
  const paths: JsonObject = {};
  for (const { group, version } of kinds) {
    const path = pathOf(group, version);
    if (paths[path]) continue;
    const text = JSON.stringify(openApiV3Document(kinds, group, version));
    const hash = createHash('sha256').update(text).digest('hex').toUpperCase();
    paths[path] = { serverRelativeURL: `/openapi/v3/${path}?hash=${hash}` };
  }
  return { paths };
}

const refOf = (name: string): JsonObject => ({ $ref: `#/components/schemas/${name}` });
const componentName = (type: string) => `io.k8s.api.${type.replace('/', '.')}`;
const query = (name: string, description: string): JsonObject => ({
  name,
  in: 'query',
  description,
  schema: { type: 'string', uniqueItems: true },
});
const writeParameters: Json[] = [
  query('dryRun', 'All: everything is done but storing the result.'),
  query('fieldManager', 'The name that owns the fields this request sets.'),
  query('fieldValidation', 'What unknown fields do: Ignore, Warn or Strict.'),
];
const patchTypes = (builtin: boolean) => [
  'application/apply-patch+yaml',
  'application/json-patch+json',
  'application/merge-patch+json',
  ...(builtin ? ['application/strategic-merge-patch+json'] : []),
];

/** The OpenAPI 3.0 document of one group version: what kubectl's apply, create and explain read. */
export function openApiV3Document(kinds: readonly KindInfo[], group: string, version: string): JsonObject {
  const components: Record<string, JsonObject> = {};
  const paths: JsonObject = {};
  for (const kind of kinds) {
    if (kind.group !== group || kind.version !== version) continue;
    const type = typeNameOf(kind.schema);
    const name = type
      ? componentName(type)
      : `${group.split('.').reverse().join('.')}.${version}.${kind.kind}`;
    const gvk: JsonObject = { group, version, kind: kind.kind };
    addComponent(components, name, kind.schema);
    const own = components[name];
    if (own) own['x-kubernetes-group-version-kind'] = [gvk];
    addPaths(paths, kind, name, gvk);
  }
  return {
    openapi: '3.0.0',
    info: { title: 'Kubernetes', version: kubernetesVersion.gitVersion },
    paths,
    components: { schemas: components },
  };
}

function addPaths(paths: JsonObject, kind: KindInfo, component: string, gvk: JsonObject): void {
  const scope = kind.namespaced ? '/namespaces/{namespace}' : '';
  const base = `/${pathOf(kind.group, kind.version)}${scope}/${kind.plural}`;
  const answer = {
    200: { description: 'OK', content: { 'application/json': { schema: refOf(component) } } },
  };
  const operation = (action: string, content?: Json): JsonObject => ({
    'x-kubernetes-action': action,
    'x-kubernetes-group-version-kind': gvk,
    parameters: action === 'get' || action === 'list' ? [] : writeParameters,
    ...(content !== undefined && { requestBody: { content } }),
    responses: answer,
  });
  const body = { '*/*': { schema: refOf(component) } };
  const has = (verb: string) => kind.verbs.includes(verb);
  const parameter = (name: string): Json => ({
    name,
    in: 'path',
    required: true,
    schema: { type: 'string' },
  });
  const scoped: Json[] = kind.namespaced ? [parameter('namespace')] : [];
  paths[base] = {
    ...(has('list') && { get: operation('list') }),
    ...(has('create') && { post: operation('post', body) }),
    parameters: scoped,
  };
  if (!has('get')) return;
  const patchBody = Object.fromEntries(
    patchTypes(kind.builtin).map((type) => [type, { schema: { type: 'object' } }]),
  );
  paths[`${base}/{name}`] = {
    get: operation('get'),
    put: operation('put', body),
    patch: operation('patch', patchBody),
    delete: operation('delete'),
    parameters: [parameter('name'), ...scoped],
  };
}

function addComponent(components: Record<string, JsonObject>, name: string, schema: StructuralSchema): void {
  if (components[name]) return;
  const made: JsonObject = {};
  components[name] = made; // Set before it is filled: a type may hold itself.
  Object.assign(made, inlined(components, schema));
}

/** A schema where built-in types are references, so that one that holds itself ends. */
function schemaJson(components: Record<string, JsonObject>, schema: StructuralSchema): JsonObject {
  const type = typeNameOf(schema);
  if (!type) return inlined(components, schema);
  addComponent(components, componentName(type), schema);
  return refOf(componentName(type));
}

function inlined(components: Record<string, JsonObject>, schema: StructuralSchema): JsonObject {
  const { properties, items, additionalProperties, ...rest } = schema;
  return {
    ...(rest as unknown as JsonObject),
    ...(properties && {
      properties: Object.fromEntries(
        Object.entries(properties).map(([field, child]) => [field, schemaJson(components, child)]),
      ),
    }),
    ...(items && { items: schemaJson(components, items) }),
    ...(additionalProperties !== undefined && {
      additionalProperties:
        typeof additionalProperties === 'boolean'
          ? additionalProperties
          : schemaJson(components, additionalProperties),
    }),
  };
}

import { z, type ZodType } from 'zod';
import type { CustomKind } from './custom-kind.ts';
import { quantityPattern } from './schema.ts';

/** The CustomResourceDefinition (apiextensions.k8s.io/v1) of a kind, ready to be applied. */
export function crdOf(kind: CustomKind): Record<string, unknown> {
  const { group, version, kind: name, plural } = kind.resource;
  return {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: `${plural}.${group}` },
    spec: {
      group,
      names: {
        kind: name,
        listKind: `${name}List`,
        plural,
        shortNames: [...kind.shortNames],
        singular: name.toLowerCase(),
      },
      scope: kind.resource.namespaced ? 'Namespaced' : 'Cluster',
      versions: [
        {
          additionalPrinterColumns: kind.columns.map((column) => ({ ...column })),
          name: version,
          schema: { openAPIV3Schema: rootSchema(kind) },
          served: true,
          storage: true,
          subresources: { status: {} },
        },
      ],
    },
  };
}

function rootSchema(kind: CustomKind): Record<string, unknown> {
  return {
    description: kind.about,
    type: 'object',
    required: ['metadata', 'spec'],
    properties: {
      apiVersion: { type: 'string', description: 'The version of the schema.' },
      kind: { type: 'string', description: 'The kind.' },
      metadata: { type: 'object' },
      spec: structural(kind.spec),
      status: structural(kind.status),
    },
  };
}

type Json = Record<string, unknown>;

/** A zod schema in the part of OpenAPI 3.0 that Kubernetes calls structural. */
export function structural(schema: ZodType): Json {
  const generated = z.toJSONSchema(schema, {
    target: 'openapi-3.0',
    io: 'input',
    reused: 'inline',
    override: ({ jsonSchema }) => restrict(jsonSchema as Json),
  }) as Json;
  delete generated['$schema'];
  return generated;
}

/** Drops what is not structural: bounds of 2^53, "no other fields", and types inside int-or-string. */
function restrict(node: Json): void {
  if (node['minimum'] === Number.MIN_SAFE_INTEGER) delete node['minimum'];
  if (node['maximum'] === Number.MAX_SAFE_INTEGER) delete node['maximum'];
  const additional = node['additionalProperties'];
  // A loose object: the API server prunes what the schema lacks, with a warning; the operator names it.
  if (node['properties'] && additional !== undefined) delete node['additionalProperties'];
  if (typeof additional === 'object' && additional !== null && Object.keys(additional).length === 0)
    delete node['additionalProperties'];
  delete node['propertyNames'];
  if (node['x-kubernetes-int-or-string'] === true) {
    node['anyOf'] = [{ type: 'integer' }, { type: 'string' }];
    if (node['x-holdfast-quantity'] === true) {
      node['pattern'] = quantityPattern;
      node['minimum'] = 0;
    }
  }
  delete node['x-holdfast-quantity'];
}

/** Every field path of a schema: `.spec.mon.count`, `[]` for items, `{}` for a map's values. */
export function fieldPaths(schema: Json, path = ''): string[] {
  const found = path === '' ? [] : [path];
  for (const [name, child] of Object.entries((schema['properties'] ?? {}) as Record<string, Json>))
    found.push(...fieldPaths(child, `${path}.${name}`));
  if (schema['items']) found.push(...fieldPaths(schema['items'] as Json, `${path}[]`));
  const values = schema['additionalProperties'];
  if (typeof values === 'object' && values !== null) found.push(...fieldPaths(values as Json, `${path}{}`));
  return found;
}

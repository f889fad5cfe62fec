import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { stringify } from 'yaml';
import { crdOf, fieldPaths } from './crd.ts';
import { cephKinds } from './kinds.ts';

type Json = Record<string, unknown>;
// Read from Rook's published CRDs: every path a user's manifest may hold.
const rookPaths = JSON.parse(
  readFileSync(new URL('./rook-field-paths.json', import.meta.url), 'utf8'),
) as Record<string, string[]>;

const versionOf = (crd: Json) => (crd['spec'] as { versions: Json[] }).versions[0]!;
const schemaOf = (crd: Json) => (versionOf(crd)['schema'] as { openAPIV3Schema: Json }).openAPIV3Schema;

/** Every node must say its type, or be an integer or string. */
function untyped(node: Json, path: string): string[] {
  const children = [
    ...Object.entries((node['properties'] ?? {}) as Record<string, Json>),
    ...(['items', 'additionalProperties'] as const).flatMap((key) =>
      typeof node[key] === 'object' ? [[key, node[key] as Json] as const] : [],
    ),
  ];
  return [
    ...(node['type'] === undefined && node['x-kubernetes-int-or-string'] !== true ? [path] : []),
    ...children.flatMap(([key, child]) => untyped(child, `${path}.${key}`)),
  ];
}

describe.each(cephKinds.map((kind) => [kind.resource.kind, kind] as const))('%s', (name, kind) => {
  const crd = crdOf(kind);

  test('holds every field path of Rook’s CRD', () => {
    const ours = new Set(fieldPaths(schemaOf(crd)));
    expect(rookPaths[name]!.length).toBeGreaterThan(100);
    expect(rookPaths[name]!.filter((path) => !ours.has(path))).toEqual([]);
  });

  test('is structural: no keyword of JSON Schema that Kubernetes refuses', () => {
    const refused = [
      '$ref',
      '$schema',
      'const',
      'propertyNames',
      'additionalItems',
      'definitions',
      'patternProperties',
    ];
    const walk = (node: unknown, path: string): string[] => {
      if (Array.isArray(node)) return node.flatMap((item, index) => walk(item, `${path}/${index}`));
      if (typeof node !== 'object' || node === null) return [];
      const here = refused.filter((key) => key in node && !path.endsWith('/properties'));
      const both =
        'properties' in node && 'additionalProperties' in node ? ['properties+additionalProperties'] : [];
      return [
        ...[...here, ...both].map((key) => `${path}/${key}`),
        ...Object.entries(node).flatMap(([key, value]) => walk(value, `${path}/${key}`)),
      ];
    };
    expect(walk(schemaOf(crd), '')).toEqual([]);
    expect(untyped(schemaOf(crd), '')).toEqual([]);
  });

  test('the file in deploy/crds is up to date', () => {
    const file = new URL(
      `../../../deploy/crds/${kind.resource.plural}.${kind.resource.group}.yaml`,
      import.meta.url,
    );
    expect(readFileSync(file, 'utf8')).toContain(
      stringify(crd, { lineWidth: 110, aliasDuplicateObjects: false }),
    );
  });
});

test('every described field has a description, and none is long', () => {
  const walk = (node: Json, path: string): string[] => [
    ...(path.split('.').length > 2 &&
    typeof node['description'] === 'string' &&
    node['description'].length > 140
      ? [path]
      : []),
    ...Object.entries((node['properties'] ?? {}) as Record<string, Json>).flatMap(([key, child]) => [
      ...(typeof child['description'] === 'string' || path === '' || key === 'port'
        ? []
        : [`${path}.${key}`]),
      ...walk(child, `${path}.${key}`),
    ]),
  ];
  for (const kind of cephKinds) {
    const missing = walk(schemaOf(crdOf(kind)), '').filter((path) => !/ffinity|volumeClaim/.test(path));
    expect(missing).toEqual([]);
  }
});

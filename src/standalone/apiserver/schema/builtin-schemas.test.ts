import { expect, test } from 'vitest';
import type { StructuralSchema } from '../kind.ts';
import { strategicMergePatch } from '../patch/strategic-merge-patch.ts';
import { builtinKinds } from './builtin-kinds.ts';
import { pruned } from './prune.ts';
import { validate } from './validate.ts';
import { kindsOfCrd } from './crd.ts';
import { withDefaults } from './defaults.ts';
import { cephClusterCrd } from '../../../../test/support/cephcluster-crd.ts';

const schemaOf = (kind: string): StructuralSchema => {
  const found = builtinKinds().find((k) => k.kind === kind);
  if (!found) throw new Error(kind);
  return found.schema;
};
const at = (schema: StructuralSchema, path: string): StructuralSchema =>
  path.split('.').reduce<StructuralSchema>((s, field) => {
    const next = field === '*' ? s.items : s.properties?.[field];
    if (!next) throw new Error(`${path}: no ${field}`);
    return next;
  }, schema);

test.each([
  ['Pod', 'spec.containers', ['name'], 'name'],
  ['Pod', 'spec.containers.*.ports', ['containerPort', 'protocol'], 'containerPort'],
  ['Pod', 'spec.containers.*.env', ['name'], 'name'],
  ['Pod', 'spec.containers.*.volumeMounts', ['mountPath'], 'mountPath'],
  ['Pod', 'status.conditions', ['type'], 'type'],
  ['Service', 'spec.ports', ['port', 'protocol'], 'port'],
  ['Pod', 'metadata.ownerReferences', ['uid'], 'uid'],
])('%s %s merges by %s', (kind, path, keys, mergeKey) => {
  expect(at(schemaOf(kind), path)).toMatchObject({
    'x-kubernetes-list-type': 'map',
    'x-kubernetes-list-map-keys': keys,
    'x-kubernetes-patch-merge-key': mergeKey,
  });
});

test('tolerations, args and selectors are whole', () => {
  expect(at(schemaOf('Pod'), 'spec.tolerations')['x-kubernetes-list-type']).toBe('atomic');
  expect(at(schemaOf('Pod'), 'spec.containers.*.args')['x-kubernetes-list-type']).toBe('atomic');
  expect(at(schemaOf('Deployment'), 'spec.selector')['x-kubernetes-map-type']).toBe('atomic');
});

test('unknown fields go, with their paths, and the argument stays as it was', () => {
  const pod = {
    metadata: { name: 'a', creationTimestamp: null },
    spec: { containers: [{ name: 'c', imagee: 'x' }] },
    foo: 1,
  };
  const before = structuredClone(pod);
  expect(pruned(schemaOf('Pod'), pod)).toEqual({
    object: { metadata: { name: 'a' }, spec: { containers: [{ name: 'c' }] } },
    unknown: ['spec.containers[0].imagee', 'foo'],
  });
  expect(pod).toEqual(before);
});

test('all that is wrong is said at once', () => {
  const errors = validate(schemaOf('Pod'), { spec: { hostNetwork: 'yes', containers: [{ image: 'x' }] } });
  expect(errors.map((e) => [e.field, e.reason])).toEqual([
    ['spec.hostNetwork', 'FieldValueTypeInvalid'],
    ['spec.containers[0].name', 'FieldValueRequired'],
  ]);
});

test('a CRD version: bounds in its own words, defaults, unknown fields, columns', () => {
  const { kinds, errors } = kindsOfCrd(
    cephClusterCrd(
      {
        type: 'object',
        properties: {
          spec: {
            type: 'object',
            properties: {
              mon: {
                type: 'object',
                default: {},
                properties: { count: { type: 'integer', maximum: 9, default: 3 } },
              },
            },
          },
        },
      },
      { subresources: { status: {} } },
    ),
  );
  expect(errors).toEqual([]);
  const [kind] = kinds;
  expect(kind?.columns.map((c) => c.name)).toEqual(['Age']);
  const schema = kind?.schema ?? {};
  expect(validate(schema, { spec: { mon: { count: 10 } } })).toEqual([
    {
      field: 'spec.mon.count',
      reason: 'FieldValueInvalid',
      message: 'Invalid value: 10: spec.mon.count in body should be less than or equal to 9',
    },
  ]);
  expect(withDefaults(schema, { spec: {} })).toEqual({ spec: { mon: { count: 3 } } });
  expect(pruned(schema, { apiVersion: 'v1', kind: 'X', spec: { moon: 1 } }).unknown).toEqual(['spec.moon']);
});

test('strategic merge: by key, deletion, order, retained keys, primitives', () => {
  const schema = schemaOf('Deployment');
  const doc = {
    metadata: { finalizers: ['a', 'b'] },
    spec: {
      strategy: { type: 'RollingUpdate', rollingUpdate: { maxSurge: 1 } },
      template: {
        spec: {
          containers: [
            { name: 'a', image: '1' },
            { name: 'b', image: '1' },
          ],
        },
      },
    },
  };
  const merged = strategicMergePatch(
    doc,
    {
      metadata: { '$deleteFromPrimitiveList/finalizers': ['a'], finalizers: ['c'] },
      spec: {
        strategy: { $retainKeys: ['type'], type: 'Recreate' },
        template: {
          spec: {
            '$setElementOrder/containers': [{ name: 'c' }, { name: 'b' }],
            containers: [
              { name: 'a', $patch: 'delete' },
              { name: 'c', image: '2' },
              { name: 'b', image: '3' },
            ],
          },
        },
      },
    },
    schema,
  );
  expect(merged).toEqual({
    metadata: { finalizers: ['b', 'c'] },
    spec: {
      strategy: { type: 'Recreate' },
      template: {
        spec: {
          containers: [
            { name: 'c', image: '2' },
            { name: 'b', image: '3' },
          ],
        },
      },
    },
  });
});

import { expect, test } from 'vitest';
import type { JsonObject } from '../kind.ts';
import { builtinKinds } from '../schema/builtin-kinds.ts';
import { kindsOfCrd } from '../schema/crd.ts';
import { cephClusterCrd } from '../../../../test/support/cephcluster-crd.ts';
import { openApiV2Json, openApiV2Protobuf } from './v2.ts';

const crd = cephClusterCrd({
  type: 'object',
  description: 'A Ceph cluster. Übergrößen too.',
  properties: {
    spec: {
      type: 'object',
      required: ['mon'],
      properties: {
        mon: {
          type: 'object',
          properties: { count: { type: 'integer', format: 'int32', default: 3 } },
        },
        mode: { type: 'string', enum: ['a', 'b'] },
        port: {
          'x-kubernetes-int-or-string': true,
          anyOf: [{ type: 'integer' }, { type: 'string' }],
        },
        maybe: { type: 'string', nullable: true },
        free: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true },
        labels: { type: 'object', additionalProperties: { type: 'string' } },
        hosts: { type: 'array', items: { type: 'string' }, 'x-kubernetes-list-type': 'set' },
      },
    },
  },
});
const kinds = [...builtinKinds(), ...kindsOfCrd(crd).kinds];

interface Message {
  /** The text of a field that occurs once. */
  text(field: number): string;
  texts(field: number): string[];
  all(field: number): Message[];
  number(field: number): number | undefined;
}

/** Reads the wire form without knowing any schema. */
function read(bytes: Uint8Array): Message {
  const parts: { field: number; value: Uint8Array | number }[] = [];
  let at = 0;
  const varint = () => {
    let value = 0;
    for (let shift = 1; ; shift *= 128) {
      const byte = bytes[at++];
      if (byte === undefined) throw new Error('the message ends inside a number');
      value += (byte % 128) * shift;
      if (byte < 128) return value;
    }
  };
  while (at < bytes.length) {
    const tag = varint();
    if (tag % 8 === 0) parts.push({ field: tag >> 3, value: varint() });
    else {
      if (tag % 8 !== 2) throw new Error(`wire type ${tag % 8}`);
      const end = varint() + at;
      if (end > bytes.length) throw new Error('the message ends inside a field');
      parts.push({ field: tag >> 3, value: bytes.subarray(at, end) });
      at = end;
    }
  }
  const of = (field: number) => parts.filter((part) => part.field === field);
  const bytesOf = (field: number) => of(field).map(({ value }) => value as Uint8Array);
  const decode = (value: Uint8Array) => new TextDecoder('utf-8', { fatal: true }).decode(value);
  return {
    text: (field) => bytesOf(field).map(decode).join(''),
    texts: (field) => bytesOf(field).map(decode),
    all: (field) => bytesOf(field).map(read),
    number: (field) => of(field)[0]?.value as number | undefined,
  };
}

const one = (message: Message | undefined, field: number): Message => {
  const [found, ...more] = message?.all(field) ?? [];
  expect(more).toEqual([]);
  return found as Message;
};
const has = (message: Message, field: number) => message.all(field).length > 0;

/** A NamedAny list as an object. */
const extensions = (message: Message, field: number): JsonObject =>
  Object.fromEntries(
    message.all(field).map((entry) => [entry.text(1), JSON.parse(one(entry, 2).text(2)) as string]),
  );

/** A Schema, back in the form of JSON. */
function schema(message: Message): JsonObject {
  const more = has(message, 21) ? one(message, 21) : undefined;
  return {
    ...(message.text(1) && { $ref: message.text(1) }),
    ...(message.text(2) && { format: message.text(2) }),
    ...(message.text(4) && { description: message.text(4) }),
    ...(has(message, 5) && { default: JSON.parse(one(message, 5).text(2)) as string }),
    ...(message.texts(19).length > 0 && { required: message.texts(19) }),
    ...(has(message, 20) && { enum: message.all(20).map((value) => JSON.parse(value.text(2)) as string) }),
    ...(more && { additionalProperties: more.number(2) === 1 ? true : schema(one(more, 1)) }),
    ...(has(message, 22) && { type: one(message, 22).text(1) }),
    ...(has(message, 23) && { items: schema(one(one(message, 23), 1)) }),
    ...(message.all(25).length > 0 && { properties: schemas(one(message, 25)) }),
    ...extensions(message, 31),
  };
}

const schemas = (message: Message): JsonObject =>
  Object.fromEntries(message.all(1).map((entry) => [entry.text(1), schema(one(entry, 2))]));

const document = read(openApiV2Protobuf(kinds));
const definitions = schemas(one(document, 9)) as Record<string, JsonObject>;

test('what is encoded is what the JSON form says, for every definition', () => {
  const json = openApiV2Json(kinds)['definitions'] as Record<string, JsonObject>;
  expect(Object.keys(definitions)).toEqual(Object.keys(json));
  for (const [name, definition] of Object.entries(json)) expect(definitions[name], name).toEqual(definition);
  expect(document.text(1)).toBe('2.0');
  expect(one(document, 2).text(1)).toBe('Kubernetes');
});

test('every reference leads to a definition', () => {
  const refs = [...JSON.stringify(definitions).matchAll(/"#\/definitions\/([^"]+)"/g)].map(
    (m) => m[1] as string,
  );
  expect(refs.length).toBeGreaterThan(100);
  expect(refs.filter((ref) => !(ref in definitions))).toEqual([]);
});

test('a patch says its kind and its parameters', () => {
  const paths = one(document, 8)
    .all(2)
    .map((entry) => ({ path: entry.text(1), item: one(entry, 2) }));
  const patchOf = (path: string) => one(paths.find((found) => found.path === path)?.item, 8);
  const deployment = patchOf('/apis/apps/v1/namespaces/{namespace}/deployments/{name}');
  expect(extensions(deployment, 13)['x-kubernetes-group-version-kind']).toEqual({
    group: 'apps',
    version: 'v1',
    kind: 'Deployment',
  });
  const names = deployment.all(8).map((item) => {
    const query = one(one(one(item, 1), 2), 3);
    expect(query.text(2)).toBe('query');
    return query.text(4);
  });
  expect(names).toEqual(['dryRun', 'fieldManager', 'fieldValidation']);
  expect(deployment.texts(7)).toContain('application/strategic-merge-patch+json');
  const custom = patchOf('/apis/ceph.rook.io/v1/namespaces/{namespace}/cephclusters/{name}');
  expect(custom.texts(7)).not.toContain('application/strategic-merge-patch+json');
});

test('built-in types say how their lists merge', () => {
  const spec = definitions['io.k8s.api.core.v1.PodSpec'] as { properties: JsonObject };
  expect(spec.properties['containers']).toMatchObject({
    type: 'array',
    'x-kubernetes-patch-strategy': 'merge',
    'x-kubernetes-patch-merge-key': 'name',
  });
  const strategy = definitions['io.k8s.api.apps.v1.DeploymentSpec'] as { properties: JsonObject };
  expect(strategy.properties['strategy']).toMatchObject({
    $ref: '#/definitions/io.k8s.api.apps.v1.DeploymentStrategy',
    'x-kubernetes-patch-strategy': 'retainKeys',
  });
});

test('a custom kind, as far as version 2 can tell it', () => {
  expect(definitions['io.rook.ceph.v1.CephCluster']).toMatchObject({
    type: 'object',
    description: 'A Ceph cluster. Übergrößen too.',
    'x-kubernetes-group-version-kind': [{ group: 'ceph.rook.io', version: 'v1', kind: 'CephCluster' }],
    properties: {
      metadata: { $ref: '#/definitions/io.k8s.api.meta.v1.ObjectMeta' },
      spec: {
        required: ['mon'],
        properties: {
          mon: { properties: { count: { type: 'integer', format: 'int32', default: 3 } } },
          mode: { type: 'string', enum: ['a', 'b'] },
          port: { 'x-kubernetes-int-or-string': true },
          maybe: {},
          free: { 'x-kubernetes-preserve-unknown-fields': true },
          labels: { type: 'object', additionalProperties: { type: 'string' } },
          hosts: { type: 'array', items: { type: 'string' }, 'x-kubernetes-list-type': 'set' },
        },
      },
    },
  });
});

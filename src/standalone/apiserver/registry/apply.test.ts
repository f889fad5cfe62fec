import { expect, test } from 'vitest';
import { sharedTestApi, type Answer } from '../../../../test/support/api-call.ts';

const { call } = sharedTestApi();

const maps = '/api/v1/namespaces/default/configmaps';
const configMap = (name: string, data: Record<string, string>, more: object = {}) => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name },
  data,
  ...more,
});
const apply = (path: string, body: unknown, query = 'fieldManager=me') =>
  call('PATCH', `${path}?${query}`, body, { 'content-type': 'application/apply-patch+yaml' });
const managersOf = (body: Answer['body']) =>
  ((body['metadata']?.['managedFields'] ?? []) as unknown as { manager: string; operation: string }[]).map(
    ({ manager, operation }) => `${operation} ${manager}`,
  );

test('an apply makes what is not there, and changes nothing the second time', async () => {
  const first = await apply(`${maps}/made`, configMap('made', { a: '1' }));
  expect(first.code).toBe(201);
  const second = await apply(`${maps}/made`, configMap('made', { a: '1' }));
  expect(second.code).toBe(200);
  expect(second.body).toEqual(first.body);
});

test('a conflict says who owns what, field by field, and force takes it', async () => {
  await call('POST', `${maps}?fieldManager=creator`, configMap('contested', { a: '1', b: '1', c: '1' }));
  const wanted = configMap('contested', { a: '2', b: '2', c: '1' });
  const refused = await apply(`${maps}/contested`, wanted);
  expect(refused.code).toBe(409);
  expect(refused.body).toMatchObject({
    reason: 'Conflict',
    message: 'Apply failed with 2 conflicts: conflicts with "creator" using v1:\n- .data.a\n- .data.b',
    details: {
      causes: [
        { reason: 'FieldManagerConflict', message: 'conflict with "creator" using v1', field: '.data.a' },
        { reason: 'FieldManagerConflict', message: 'conflict with "creator" using v1', field: '.data.b' },
      ],
    },
  });
  const forced = await apply(`${maps}/contested`, wanted, 'fieldManager=me&force=true');
  expect(forced.body).toMatchObject({ data: { a: '2', b: '2', c: '1' } });
  const less = await apply(`${maps}/contested`, configMap('contested', {}));
  expect(less.body['data']).toEqual({ c: '1' });
});

test('a dry run of an apply shows what would be, and leaves what is', async () => {
  await apply(`${maps}/dry`, configMap('dry', { a: '1' }));
  const shown = await apply(`${maps}/dry`, configMap('dry', { b: '1' }), 'fieldManager=me&dryRun=All');
  expect(shown.body['data']).toEqual({ b: '1' });
  expect((await call('GET', `${maps}/dry`)).body['data']).toEqual({ a: '1' });
});

test('managers may be written by whoever writes the object, and one empty entry forgets them', async () => {
  const made = (await apply(`${maps}/moved`, configMap('moved', { a: '1' }), 'fieldManager=old')).body;
  const entries = made['metadata']?.['managedFields'] as unknown as object[];
  const json = { 'content-type': 'application/json-patch+json' };
  const replace = (value: unknown) =>
    call('PATCH', `${maps}/moved`, [{ op: 'replace', path: '/metadata/managedFields', value }], json);
  const renamed = await replace(entries.map((entry) => ({ ...entry, manager: 'new' })));
  expect(managersOf(renamed.body)).toEqual(['Apply new']);
  expect(managersOf((await replace([])).body)).toEqual(['Apply new']);
  expect(managersOf((await replace([{}])).body)).toEqual([]);
});

test('an apply that cannot be told apart, or sends managers, or names no manager, is refused', async () => {
  const ports = [
    { port: 80, name: 'a' },
    { port: 80, name: 'b' },
  ];
  const service = { apiVersion: 'v1', kind: 'Service', metadata: { name: 'twice' }, spec: { ports } };
  const twice = await apply('/api/v1/namespaces/default/services/twice', service);
  expect(twice.code).toBe(400);
  expect(twice.body['message']).toBe(
    'failed to create typed patch object (default/twice; v1, Kind=Service): .spec.ports: duplicate entries for key [port=80,protocol="TCP"]',
  );
  const managed = configMap('m', {}, { metadata: { name: 'm', managedFields: [{ manager: 'x' }] } });
  expect((await apply(`${maps}/m`, managed)).code).toBe(400);
  expect((await apply(`${maps}/m`, configMap('m', {}), '')).code).toBe(400);
});

test('fields that the kind does not know are a warning once, and owned by nobody', async () => {
  const answer = await apply(
    `${maps}/unknown`,
    configMap('unknown', { a: '1' }, { dada: { b: '1' } }),
    'fieldManager=me&fieldValidation=Warn',
  );
  expect(answer.code).toBe(201);
  expect(answer.headers.get('warning')?.match(/unknown field/g)).toHaveLength(1);
  expect(JSON.stringify(answer.body)).not.toContain('dada');
  const strict = await apply(
    `${maps}/unknown`,
    configMap('unknown', {}, { dada: 1 }),
    'fieldManager=me&fieldValidation=Strict',
  );
  expect(strict.body['message']).toContain('strict decoding error: unknown field "dada"');
});

test('who scaled is told apart from who wrote the object', async () => {
  const replicaSets = '/apis/apps/v1/namespaces/default/replicasets';
  const set = (replicas: number) => ({
    apiVersion: 'apps/v1',
    kind: 'ReplicaSet',
    metadata: { name: 'scaled' },
    spec: {
      replicas,
      selector: { matchLabels: { a: 'b' } },
      template: { metadata: { labels: { a: 'b' } }, spec: { containers: [{ name: 'c', image: 'i' }] } },
    },
  });
  expect((await apply(`${replicaSets}/scaled`, set(1))).code).toBe(201);
  const scale = { spec: { replicas: 3 } };
  const merge = { 'content-type': 'application/merge-patch+json' };
  await call('PATCH', `${replicaSets}/scaled/scale?fieldManager=hpa`, scale, merge);
  const refused = await apply(`${replicaSets}/scaled`, set(2));
  expect(refused.body['message']).toBe(
    'Apply failed with 1 conflict: conflict with "hpa" with subresource "scale" using apps/v1: .spec.replicas',
  );
});

import { expect, test } from 'vitest';
import { sharedTestApi } from '../../../../test/support/api-call.ts';

const { call } = sharedTestApi();

const crds = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions';
const merge = { 'content-type': 'application/merge-patch+json' };
const schema = {
  openAPIV3Schema: {
    type: 'object',
    properties: {
      spec: { type: 'object', properties: { size: { type: 'integer', minimum: 1 } } },
      status: { type: 'object', properties: { phase: { type: 'string' } } },
    },
  },
};
const definition = (plural: string, kind: string, group = 'example.com') => ({
  apiVersion: 'apiextensions.k8s.io/v1',
  kind: 'CustomResourceDefinition',
  metadata: { name: `${plural}.${group}` },
  spec: {
    group,
    scope: 'Namespaced',
    names: { plural, kind },
    versions: [
      { name: 'v1', served: true, storage: true, schema, subresources: { status: {} } },
      { name: 'v1beta1', served: true, storage: false, schema, subresources: { status: {} } },
    ],
  },
});

test('a definition is established and served when its answer comes, in all its versions', async () => {
  const made = await call('POST', crds, definition('widgets', 'Widget'));
  expect(made.code).toBe(201);
  const conditions = made.body['status']?.['conditions'] as unknown as { type: string; status: string }[];
  expect(conditions.map(({ type, status }) => [type, status])).toEqual([
    ['NamesAccepted', 'True'],
    ['Established', 'True'],
  ]);
  expect(made.body['status']).toMatchObject({
    storedVersions: ['v1'],
    acceptedNames: { plural: 'widgets', listKind: 'WidgetList' },
  });

  const widgets = '/apis/example.com/v1/namespaces/default/widgets';
  const widget = { apiVersion: 'example.com/v1', kind: 'Widget', metadata: { name: 'w' }, spec: { size: 3 } };
  expect((await call('POST', widgets, widget)).code).toBe(201);
  const other = await call('GET', '/apis/example.com/v1beta1/namespaces/default/widgets/w');
  expect(other.body).toMatchObject({ apiVersion: 'example.com/v1beta1', spec: { size: 3 } });
  expect((await call('GET', '/apis/example.com')).body).toMatchObject({
    preferredVersion: { version: 'v1' },
  });
  const listed = (await call('GET', '/apis/example.com/v1')).body['resources'] as unknown as {
    name: string;
  }[];
  expect(listed.map(({ name }) => name)).toEqual(['widgets', 'widgets/status']);
});

test('objects of a custom kind have a status of their own and a generation, and no strategic merge', async () => {
  await call('POST', crds, definition('gadgets', 'Gadget'));
  const gadgets = '/apis/example.com/v1/namespaces/default/gadgets';
  const made = await call('POST', gadgets, {
    metadata: { name: 'g' },
    spec: { size: 1 },
    status: { phase: 'Stolen' },
  });
  expect(made.body['metadata']?.['generation']).toBe(1);
  expect(made.body).not.toHaveProperty('status');
  const status = await call(
    'PATCH',
    `${gadgets}/g/status`,
    { spec: { size: 9 }, status: { phase: 'Ready' } },
    merge,
  );
  expect(status.body).toMatchObject({
    spec: { size: 1 },
    status: { phase: 'Ready' },
    metadata: { generation: 1 },
  });
  const spec = await call('PATCH', `${gadgets}/g`, { spec: { size: 2 }, status: { phase: 'Lost' } }, merge);
  expect(spec.body).toMatchObject({
    spec: { size: 2 },
    status: { phase: 'Ready' },
    metadata: { generation: 2 },
  });
  const strategic = { 'content-type': 'application/strategic-merge-patch+json' };
  expect((await call('PATCH', `${gadgets}/g`, {}, strategic)).code).toBe(415);
  expect((await call('PUT', `${gadgets}/g`, { metadata: { name: 'g' }, spec: { size: 5 } })).code).toBe(422);
});

test('a deleted definition takes its objects along, but waits for their finalizers', async () => {
  await call('POST', crds, definition('things', 'Thing'));
  const things = '/apis/example.com/v1/namespaces/default/things';
  await call('POST', things, { metadata: { name: 'free' } });
  await call('POST', things, { metadata: { name: 'held', finalizers: ['x.io/hold'] } });
  await call('DELETE', `${crds}/things.example.com`);
  await expect.poll(async () => (await call('GET', `${things}/free`)).code).toBe(404);
  expect((await call('GET', `${things}/held`)).body['metadata']?.['deletionTimestamp']).toBeDefined();
  expect((await call('GET', `${crds}/things.example.com`)).code).toBe(200);
  await call('PATCH', `${things}/held`, { metadata: { finalizers: null } }, merge);
  await expect.poll(async () => (await call('GET', `${crds}/things.example.com`)).code).toBe(404);
  expect((await call('GET', things)).code).toBe(404);
  // A definition of the same name finds nothing of the old one.
  await call('POST', crds, definition('things', 'Thing'));
  expect((await call('GET', things)).body['items']).toEqual([]);
});

test('names that another kind has are not accepted, and the other kind stays what it was', async () => {
  const pods = definition('pods', 'Pod', 'apps');
  await call('POST', crds, {
    ...pods,
    spec: { ...pods.spec, names: { plural: 'deployments', kind: 'Mine' } },
    metadata: { name: 'deployments.apps' },
  });
  const stored = (await call('GET', `${crds}/deployments.apps`)).body;
  expect(stored['status']?.['conditions']).toMatchObject([
    { type: 'NamesAccepted', status: 'False' },
    { type: 'Established', status: 'False' },
  ]);
  expect((await call('GET', '/apis/apps/v1/deployments')).body['kind']).toBe('DeploymentList');
  const twin = definition('twins', 'Widget');
  expect((await call('POST', crds, twin)).body['status']?.['conditions']).toMatchObject([
    { status: 'False' },
    { status: 'False' },
  ]);
  expect((await call('GET', '/apis/example.com/v1/twins')).code).toBe(404);
});

test('a definition that changes is served as it is now', async () => {
  const made = (await call('POST', crds, definition('parts', 'Part'))).body;
  const versions = (made['spec']?.['versions'] ?? []) as unknown as { name: string; served: boolean }[];
  const spec = { ...made['spec'], versions: versions.map((v) => ({ ...v, served: v.name === 'v1' })) };
  expect((await call('GET', '/apis/example.com/v1beta1/parts')).code).toBe(200);
  expect((await call('PUT', `${crds}/parts.example.com`, { ...made, spec })).code).toBe(200);
  await expect.poll(async () => (await call('GET', '/apis/example.com/v1beta1/parts')).code).toBe(404);
  expect((await call('GET', '/apis/example.com/v1/parts')).code).toBe(200);
});

test('the rules of a definition hold its objects, those that look back on changes only', async () => {
  const ruled = definition('safes', 'Safe');
  const spec = {
    type: 'object',
    properties: {
      place: { type: 'string', 'x-kubernetes-validations': [{ rule: 'self == oldSelf', message: 'bolted' }] },
      size: { type: 'integer' },
      used: { type: 'integer' },
    },
    'x-kubernetes-validations': [{ rule: '!has(self.used) || self.used <= self.size', message: 'too full' }],
  };
  const versions = [
    {
      name: 'v1',
      served: true,
      storage: true,
      schema: { openAPIV3Schema: { type: 'object', properties: { spec } } },
    },
  ];
  await call('POST', crds, { ...ruled, spec: { ...ruled.spec, versions } });
  const safes = '/apis/example.com/v1/namespaces/default/safes';
  const full = await call('POST', safes, { metadata: { name: 's' }, spec: { size: 1, used: 2 } });
  expect(full.code).toBe(422);
  expect(full.body['details']?.['causes']).toEqual([
    { reason: 'FieldValueInvalid', message: 'Invalid value: "object": too full', field: 'spec' },
  ]);
  await call('POST', safes, { metadata: { name: 's' }, spec: { place: 'cellar', size: 1 } });
  const moved = await call('PATCH', `${safes}/s`, { spec: { place: 'attic' } }, merge);
  expect(moved.body['message']).toBe(
    'Safe.example.com "s" is invalid: spec.place: Invalid value: "attic": bolted',
  );
  expect((await call('PATCH', `${safes}/s`, { spec: { size: 2 } }, merge)).code).toBe(200);
});

import { expect, test } from 'vitest';
import type { ApiObject, Json, JsonObject, StructuralSchema } from '../kind.ts';
import { builtinKinds } from '../schema/builtin-kinds.ts';
import { serverSideApply, trackManagedFields } from './server-side-apply.ts';

const schemaOf = (kind: string) => builtinKinds().find((k) => k.kind === kind)?.schema as StructuralSchema;
const schema = schemaOf('Deployment');
const write = { schema, apiVersion: 'apps/v1', subresource: '', hasStatus: true };
const object = (o: unknown) => o as ApiObject;

/** A Deployment with one container; `more` goes over its spec. */
const deployment = (more: JsonObject = {}, metadata: JsonObject = {}): ApiObject =>
  object({
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name: 'web', namespace: 'default', ...metadata },
    spec: {
      selector: { matchLabels: { app: 'web' } },
      template: {
        metadata: { labels: { app: 'web' } },
        spec: { containers: [{ name: 'c', image: 'nginx:1', ports: [{ containerPort: 80 }] }] },
      },
      ...more,
    },
  });

function apply(live: ApiObject | undefined, applied: ApiObject, manager = 'a', more: object = {}): ApiObject {
  const result = tryApply(live, applied, manager, more);
  if ('conflicts' in result) throw new Error(JSON.stringify(result.conflicts));
  return result.object;
}
const tryApply = (live: ApiObject | undefined, applied: ApiObject, manager = 'a', more: object = {}) =>
  serverSideApply({ ...write, live, applied, manager, force: false, now: '2026-01-01T00:00:00Z', ...more });
const update = (live: ApiObject | undefined, updated: ApiObject, manager: string, more: object = {}) =>
  trackManagedFields({
    ...write,
    live,
    updated,
    manager,
    operation: 'Update',
    now: '2026-01-02T00:00:00Z',
    ...more,
  });
const entries = (o: ApiObject) => (o.metadata?.managedFields ?? []) as unknown as readonly JsonObject[];
const entry = (o: ApiObject, manager: string) => entries(o).find((e) => e['manager'] === manager);
const edited = (o: ApiObject, change: (copy: { [key: string]: never } & JsonObject) => void): ApiObject => {
  const copy = structuredClone(o) as never;
  change(copy);
  return copy;
};
const setSpec = (o: ApiObject, spec: JsonObject) =>
  ({ ...o, spec: { ...((o as JsonObject)['spec'] as JsonObject), ...spec } }) as unknown as ApiObject;

test('an applier owns leaves, keys of maps and list items, and atomic values as a whole', () => {
  const made = apply(undefined, deployment({ replicas: 2 }, { labels: { x: 'y' } }));
  expect(entries(made)).toEqual([
    {
      manager: 'a',
      operation: 'Apply',
      apiVersion: 'apps/v1',
      time: '2026-01-01T00:00:00Z',
      fieldsType: 'FieldsV1',
      fieldsV1: {
        'f:metadata': { 'f:labels': { 'f:x': {} } },
        'f:spec': {
          'f:replicas': {},
          'f:selector': {},
          'f:template': {
            'f:metadata': { 'f:labels': { 'f:app': {} } },
            'f:spec': {
              'f:containers': {
                'k:{"name":"c"}': {
                  '.': {},
                  'f:image': {},
                  'f:name': {},
                  'f:ports': {
                    'k:{"containerPort":80,"protocol":"TCP"}': { '.': {}, 'f:containerPort': {} },
                  },
                },
              },
            },
          },
        },
      },
    },
  ]);
});

test("another manager's fields conflict, in kubectl's words, until they are forced over", () => {
  const live = update(undefined, deployment({ replicas: 1 }), 'kubectl-client-side-apply');
  const wanted = deployment({ replicas: 2 });
  expect(tryApply(live, wanted)).toEqual({
    conflicts: [
      {
        manager: '"kubectl-client-side-apply" using apps/v1',
        fields: ['.spec.replicas'],
        message: 'conflict with "kubectl-client-side-apply" using apps/v1',
      },
    ],
  });
  const forced = apply(live, wanted, 'a', { force: true });
  expect(forced).toMatchObject({ spec: { replicas: 2 } });
  expect(JSON.stringify(entry(forced, 'kubectl-client-side-apply'))).not.toContain('f:replicas');
  expect(JSON.stringify(entry(forced, 'a'))).toContain('f:replicas');
});

test('a conflict deep in lists names its keys', () => {
  const live = apply(undefined, deployment(), 'other');
  const wanted = edited(deployment(), (copy) => {
    const template = (copy['spec'] as never)['template'] as unknown as {
      spec: { containers: JsonObject[] };
    };
    template.spec.containers = [
      { name: 'c', image: 'nginx:2', ports: [{ containerPort: 80, name: 'http' }] },
    ];
  });
  const result = tryApply(live, wanted);
  expect(result).toMatchObject({
    conflicts: [
      {
        manager: '"other"',
        fields: ['.spec.template.spec.containers[name="c"].image'],
        message: 'conflict with "other"',
      },
    ],
  });
});

test('who applies the same values owns them too, and gives them up without removing them', () => {
  const both = apply(apply(undefined, deployment({ replicas: 2 })), deployment({ replicas: 2 }), 'b');
  expect(entries(both)).toHaveLength(2);
  const without = apply(both, deployment(), 'a');
  expect(without).toMatchObject({ spec: { replicas: 2 } });
  expect(JSON.stringify(entry(without, 'a'))).not.toContain('f:replicas');
  const gone = apply(without, deployment(), 'b');
  expect((gone as JsonObject)['spec']).not.toHaveProperty('replicas');
});

test('what a manager no longer applies goes, with all that was below it; what others have stays', () => {
  const two = [
    { name: 'c', image: 'nginx:1' },
    { name: 'd', image: 'sidecar:1', env: [{ name: 'A', value: '1' }] },
  ];
  const withTwo = deployment({ template: { metadata: {}, spec: { containers: two } } });
  const live = edited(apply(undefined, withTwo), (copy) => {
    const spec = ((copy['spec'] as never)['template'] as never)['spec'] as unknown as {
      containers: JsonObject[];
    };
    (spec.containers[1] as JsonObject)['imagePullPolicy'] = 'Always'; // a default, that nobody owns
  });
  const one = apply(
    live,
    deployment({ template: { metadata: {}, spec: { containers: [{ name: 'c', image: 'nginx:1' }] } } }),
  );
  expect((one as JsonObject)['spec']).toMatchObject({
    template: { spec: { containers: [{ name: 'c', image: 'nginx:1' }] } },
  });
  expect(JSON.stringify(one)).not.toContain('sidecar');
});

test('an item goes with its applier, even where someone had changed a field in it', () => {
  const of = (containers: JsonObject[]) => deployment({ template: { spec: { containers } } });
  const live = apply(undefined, of([{ name: 'c' }, { name: 'd', image: 'one' }]));
  const changed = update(
    live,
    setSpec(live, { template: { spec: { containers: [{ name: 'c' }, { name: 'd', image: 'two' }] } } }),
    'set-image',
  );
  expect(entry(changed, 'set-image')).toBeDefined();
  const left = apply(changed, of([{ name: 'c' }]));
  expect((left as JsonObject)['spec']).toMatchObject({ template: { spec: { containers: [{ name: 'c' }] } } });
  expect(entries(left).map((e) => e['manager'])).toEqual(['a']);
});

test('a key of a map is owned itself, beside what it holds', () => {
  const sections: StructuralSchema = {
    type: 'object',
    additionalProperties: { type: 'object', additionalProperties: { type: 'string' } },
  };
  const custom: StructuralSchema = { type: 'object', properties: { spec: sections } };
  const of = (spec: JsonObject) =>
    object({ apiVersion: 'x.io/v1', kind: 'X', metadata: { name: 'x' }, spec });
  const made = apply(undefined, of({ osd: { a: '1' } }), 'a', { schema: custom });
  expect(entry(made, 'a')?.['fieldsV1']).toEqual({ 'f:spec': { 'f:osd': { '.': {}, 'f:a': {} } } });
});

test('applying the same again is nothing: the same object, the same time', () => {
  const live = apply(undefined, deployment());
  expect(apply(live, deployment(), 'a', { now: '2027-01-01T00:00:00Z' })).toEqual(live);
});

test('an update takes what it changed from its applier, and drops what it removed', () => {
  const applied = apply(undefined, deployment({ replicas: 2, paused: true }));
  const { paused: _, ...spec } = (applied as JsonObject)['spec'] as JsonObject;
  const updated = update(applied, { ...applied, spec: { ...spec, replicas: 5 } } as never, 'kubectl-scale');
  expect(JSON.stringify(entry(updated, 'a'))).not.toMatch(/f:replicas|f:paused/);
  expect(entry(updated, 'kubectl-scale')).toEqual({
    manager: 'kubectl-scale',
    operation: 'Update',
    apiVersion: 'apps/v1',
    time: '2026-01-02T00:00:00Z',
    fieldsType: 'FieldsV1',
    fieldsV1: { 'f:spec': { 'f:replicas': {} } },
  });
  const same = update(updated, updated, 'kubectl-scale', { now: '2027-01-01T00:00:00Z' });
  expect(same).toEqual(updated);
});

test('status is owned apart: by writes of the status, and by nothing else', () => {
  const applied = apply(undefined, {
    ...deployment(),
    status: { replicas: 7 },
  } as unknown as ApiObject);
  expect(JSON.stringify(entries(applied))).not.toContain('f:status');
  expect(applied).not.toHaveProperty('status');
  const next = { ...applied, status: { replicas: 1 } } as unknown as ApiObject;
  const updated = update(applied, next, 'controller', { subresource: 'status' });
  expect(entry(updated, 'controller')).toMatchObject({
    subresource: 'status',
    fieldsV1: { 'f:status': { '.': {}, 'f:replicas': {} } },
  });
  const status = object({
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    status: { replicas: 2 },
    spec: { replicas: 9 },
  });
  expect(tryApply(updated, status, 'x', { subresource: 'status' })).toMatchObject({
    conflicts: [
      { manager: '"controller" with subresource "status" using apps/v1', fields: ['.status.replicas'] },
    ],
  });
  const forced = apply(updated, status, 'x', { subresource: 'status', force: true });
  expect((forced as JsonObject)['spec']).not.toHaveProperty('replicas');
  expect(entry(forced, 'x')?.['fieldsV1']).toEqual({ 'f:status': { 'f:replicas': {} } });
});

test('managers are forgotten by a list of one empty entry only, and tracked again from the next apply', () => {
  const applied = apply(undefined, deployment());
  const sending = (managedFields: unknown) =>
    ({ ...applied, metadata: { ...applied.metadata, managedFields } }) as ApiObject;
  expect(entries(update(applied, sending([]), 'b'))).toEqual(entries(applied));
  const cleared = update(applied, sending([{}]), 'b');
  expect(cleared.metadata).not.toHaveProperty('managedFields');
  const scaled = update(cleared, setSpec(cleared, { replicas: 4 }), 'b');
  expect(scaled.metadata).not.toHaveProperty('managedFields');
  expect(tryApply(scaled, deployment({ replicas: 5 }))).toMatchObject({
    conflicts: [{ message: 'conflict with "before-first-apply" using apps/v1', fields: ['.spec.replicas'] }],
  });
  expect(entries(apply(scaled, deployment())).map((e) => e['manager'])).toEqual(['a', 'before-first-apply']);
});

test('kubectl takes over what its client-side apply set, but not what someone changed since', () => {
  const annotation = 'kubectl.kubernetes.io/last-applied-configuration';
  const first = deployment({ replicas: 1, paused: false });
  const annotations = { [annotation]: JSON.stringify(first) };
  const live = update(
    undefined,
    deployment({ replicas: 1, paused: false }, { annotations }),
    'kubectl-client-side-apply',
  );
  const taken = apply(live, deployment({ replicas: 3, paused: false }), 'kubectl');
  expect(taken).toMatchObject({ spec: { replicas: 3 } });
  expect(JSON.parse(taken.metadata?.annotations?.[annotation] ?? '')).toMatchObject({
    spec: { replicas: 3 },
  });
  const scaled = update(live, setSpec(live, { replicas: 9 }), 'scaler');
  expect(tryApply(scaled, deployment({ replicas: 3 }), 'kubectl')).toMatchObject({
    conflicts: [{ message: 'conflict with "scaler" using apps/v1' }],
  });
});

test('never more than ten updaters: the oldest become one', () => {
  let live = update(undefined, deployment(), 'm0', { now: '2026-01-01T00:00:00Z' });
  for (let i = 1; i < 15; i++) {
    const labels = { ...live.metadata?.labels, [`l${i}`]: 'x' };
    const now = `2026-01-01T00:00:${String(i).padStart(2, '0')}Z`;
    live = update(live, { ...live, metadata: { ...live.metadata, labels } } as ApiObject, `m${i}`, { now });
  }
  expect(entries(live)).toHaveLength(10);
  expect(JSON.stringify(entry(live, 'ancient-changes'))).toContain('f:image');
});

test('applied lists that name an item twice, or without its key, are refused by path', () => {
  const template = (containers: Json) => deployment({ template: { spec: { containers } } });
  expect(() => apply(undefined, template([{ name: 'c' }, { name: 'c' }]))).toThrow(
    '.spec.template.spec.containers: duplicate entries for key [name="c"]',
  );
  expect(() => apply(undefined, template([{ image: 'x' }]))).toThrow('omits key field "name"');
});

test.each([
  [
    ['a', 'b', 'c'],
    ['c', 'a'],
    ['b', 'c', 'a'],
  ],
  [
    ['a', 'b'],
    ['x', 'b'],
    ['a', 'x', 'b'],
  ],
  [
    ['a', 'b'],
    ['b', 'x'],
    ['a', 'b', 'x'],
  ],
  [
    ['a', 'd', 'c', 'e'],
    ['c', 'a'],
    ['d', 'c', 'e', 'a'],
  ],
  [['a', 'b'], [], ['a', 'b']],
])('a list %j with %j applied is %j', (live, applied, wanted) => {
  const of = (finalizers: string[]) => deployment({}, { finalizers });
  const before = update(undefined, of(live), 'z');
  expect(apply(before, of(applied)).metadata?.finalizers).toEqual(wanted);
});

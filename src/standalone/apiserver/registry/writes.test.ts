import { beforeEach, describe, expect, test } from 'vitest';
import { sharedTestApi } from '../../../../test/support/api-call.ts';

const { call } = sharedTestApi();
let run = 0;
let maps: string;
let pods: string;
beforeEach(async () => {
  const namespace = `t${run++}`;
  await call('POST', '/api/v1/namespaces', { metadata: { name: namespace } });
  maps = `/api/v1/namespaces/${namespace}/configmaps`;
  pods = `/api/v1/namespaces/${namespace}/pods`;
});

const map = (name: string, data: object = { a: '1' }, metadata: object = {}) => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name, ...metadata },
  data,
});
const pod = (name: string, spec: object = {}) => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name },
  spec: { containers: [{ name: 'c', image: 'busybox' }], ...spec },
});
const merge = { 'content-type': 'application/merge-patch+json' };

describe('create', () => {
  test('fills in what only the server knows, and refuses the name a second time', async () => {
    const made = await call('POST', maps, map('a'));
    expect(made.code).toBe(201);
    expect(made.body['metadata']).toMatchObject({
      name: 'a',
      uid: expect.stringMatching(/^[0-9a-f-]{36}$/) as string,
      resourceVersion: expect.stringMatching(/^\d+$/) as string,
      creationTimestamp: expect.stringMatching(/^\d{4}-.*Z$/) as string,
    });
    const again = await call('POST', maps, map('a'));
    expect(again.code).toBe(409);
    expect(again.body).toMatchObject({
      kind: 'Status',
      status: 'Failure',
      reason: 'AlreadyExists',
      message: 'configmaps "a" already exists',
      details: { name: 'a', kind: 'configmaps' },
    });
  });

  test('makes names from generateName', async () => {
    const names = new Set<unknown>();
    for (let i = 0; i < 5; i++) {
      const made = await call('POST', maps, { metadata: { generateName: 'gen-' } });
      names.add(made.body['metadata']?.['name']);
      expect(String(made.body['metadata']?.['name'])).toMatch(/^gen-[a-z0-9]{5}$/);
    }
    expect(names.size).toBe(5);
  });

  test('names every wrong field of the metadata at once', async () => {
    const refused = await call('POST', maps, map('Not_Good', {}, { labels: { ok: 'a b' } }));
    expect(refused.code).toBe(422);
    expect(refused.body['reason']).toBe('Invalid');
    const fields = ((refused.body['details']?.['causes'] ?? []) as unknown as { field: string }[]).map(
      (c) => c.field,
    );
    expect(fields).toEqual(expect.arrayContaining(['metadata.name', 'metadata.labels']));
  });

  test('judges a huge key at once', async () => {
    const started = performance.now();
    const key = `${'a'.repeat(200_000)}!`;
    const refused = await call(
      'POST',
      maps,
      map('huge', {}, { annotations: { [key]: 'x' }, finalizers: [key] }),
    );
    expect(refused.code).toBe(422);
    expect(performance.now() - started).toBeLessThan(2_000);
  });

  test.each([
    ['another kind', { kind: 'Secret', apiVersion: 'v1', metadata: { name: 'x' } }, 400],
    ['another namespace', { metadata: { name: 'x', namespace: 'default' } }, 400],
    ['a resourceVersion', { metadata: { name: 'x', resourceVersion: '7' } }, 400],
    ['no name', { metadata: {} }, 422],
    ['no object', '[1]', 400],
    ['no JSON', '{"metadata":', 400],
  ])('refuses %s', async (_what, body, code) => {
    expect((await call('POST', maps, body)).code).toBe(code);
  });

  test('writes nothing on a dry run, but judges it', async () => {
    expect((await call('POST', `${maps}?dryRun=All`, map('dry'))).code).toBe(201);
    expect((await call('GET', `${maps}/dry`)).code).toBe(404);
    await call('POST', maps, map('dry'));
    expect((await call('POST', `${maps}?dryRun=All`, map('dry'))).code).toBe(409);
    expect((await call('POST', `${maps}?dryRun=Some`, map('x'))).code).toBe(400);
  });

  test('refuses a body above 3 MiB and a type it cannot read', async () => {
    expect((await call('POST', maps, map('big', { a: 'x'.repeat(3_200_000) }))).code).toBe(413);
    expect((await call('POST', maps, map('big', { a: 'x'.repeat(2_000_000) }))).code).toBe(422);
    const event = { metadata: { name: 'big' }, involvedObject: {}, message: 'x'.repeat(2_000_000) };
    expect((await call('POST', '/api/v1/namespaces/default/events', event)).code).toBe(413);
    expect((await call('POST', maps, 'x', { 'content-type': 'application/cbor' })).code).toBe(415);
  });

  test('takes YAML', async () => {
    const yaml = 'apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: yaml\ndata:\n  a: b\n';
    const made = await call('POST', maps, yaml, { 'content-type': 'application/yaml' });
    expect(made.body).toMatchObject({ data: { a: 'b' } });
  });
});

describe('update', () => {
  test('replaces at the version the writer read, and refuses a stale one', async () => {
    const made = await call('POST', maps, map('a'));
    const changed = { ...made.body, data: { a: '2' } };
    expect((await call('PUT', `${maps}/a`, changed)).code).toBe(200);
    const stale = await call('PUT', `${maps}/a`, { ...made.body, data: { a: '3' } });
    expect(stale.code).toBe(409);
    expect(stale.body['message']).toBe(
      'Operation cannot be fulfilled on configmaps "a": the object has been modified; please apply your changes to the latest version and try again',
    );
    expect((await call('GET', `${maps}/a`)).body['data']).toEqual({ a: '2' });
  });

  test('keeps what only the server sets, and writes nothing where nothing changes', async () => {
    const made = (await call('POST', maps, map('a'))).body;
    const meta = { ...made['metadata'], creationTimestamp: '2001-01-01T00:00:00Z', generation: 99 };
    const again = await call('PUT', `${maps}/a`, { ...made, metadata: meta });
    expect(again.body).toEqual(made);
    const other = await call('PUT', `${maps}/a`, { ...map('a'), metadata: { name: 'a', uid: 'not-it' } });
    expect(other.code).toBe(409);
    expect((await call('PUT', `${maps}/a`, map('b'))).code).toBe(400);
    expect((await call('PUT', `${maps}/none`, map('none'))).code).toBe(404);
  });

  test('fifty racing patches all land', async () => {
    await call('POST', maps, map('race', {}));
    const codes = await Promise.all(
      Array.from({ length: 50 }, async (_, i) => {
        const answer = await call('PATCH', `${maps}/race`, { data: { [`k${i}`]: 'x' } }, merge);
        return answer.code;
      }),
    );
    const landed = codes.filter((code) => code === 200).length;
    expect(landed).toBe(50);
    expect(Object.keys((await call('GET', `${maps}/race`)).body['data'] ?? {})).toHaveLength(50);
  });

  test('refuses patches it does not know, and a version in a patch that is stale', async () => {
    const made = (await call('POST', maps, map('a'))).body;
    expect((await call('PATCH', `${maps}/a`, {}, { 'content-type': 'text/plain' })).code).toBe(415);
    expect(
      (
        await call('PATCH', `${maps}/a`, '[{"op":"remove","path":"/data/none/x"}]', {
          'content-type': 'application/json-patch+json',
        })
      ).code,
    ).toBe(422);
    await call('PATCH', `${maps}/a`, { data: { b: '2' } }, merge);
    const version = made['metadata']?.['resourceVersion'];
    const stale = await call(
      'PATCH',
      `${maps}/a`,
      { metadata: { resourceVersion: version }, data: { c: '3' } },
      merge,
    );
    expect(stale.code).toBe(409);
  });
});

describe('status', () => {
  test('is written by its own path only, and moves no generation', async () => {
    const made = (await call('POST', pods, { ...pod('a'), status: { phase: 'Running' } })).body;
    expect(made['status']?.['phase']).not.toBe('Running');
    const status = { ...made, spec: { nodeName: 'stolen' }, status: { phase: 'Running' } };
    const written = (await call('PUT', `${pods}/a/status`, status)).body;
    expect(written['status']?.['phase']).toBe('Running');
    expect(written['spec']).toEqual(made['spec']);
    expect(written['metadata']?.['generation']).toEqual(made['metadata']?.['generation']);
    const labelled = await call(
      'PATCH',
      `${pods}/a`,
      { metadata: { labels: { x: 'y' } }, status: { phase: 'Failed' } },
      merge,
    );
    expect(labelled.body['status']?.['phase']).toBe('Running');
    expect((await call('GET', `${maps}/a/status`)).code).toBe(404);
  });

  test('of a Deployment: the generation moves with the spec, and scale writes replicas', async () => {
    const deployments = pods.replace('/api/v1/', '/apis/apps/v1/').replace('/pods', '/deployments');
    const template = { metadata: { labels: { a: 'b' } }, spec: { containers: [{ name: 'c', image: 'i' }] } };
    const spec = { replicas: 1, selector: { matchLabels: { a: 'b' } }, template };
    expect(
      (await call('POST', deployments, { metadata: { name: 'd' }, spec })).body['metadata']?.['generation'],
    ).toBe(1);
    const scale = await call('GET', `${deployments}/d/scale`);
    expect(scale.body).toMatchObject({ kind: 'Scale', spec: { replicas: 1 }, status: { selector: 'a=b' } });
    await call('PATCH', `${deployments}/d/scale`, { spec: { replicas: 5 } }, merge);
    const scaled = (await call('GET', `${deployments}/d`)).body;
    expect(scaled['spec']?.['replicas']).toBe(5);
    expect(scaled['metadata']?.['generation']).toBe(2);
    expect((await call('PATCH', `${deployments}/d/scale`, { spec: { replicas: -1 } }, merge)).code).toBe(400);
  });
});

describe('delete', () => {
  test('is at once without finalizers, and says what was deleted', async () => {
    const made = (await call('POST', maps, map('a'))).body;
    const gone = await call('DELETE', `${maps}/a`);
    expect(gone.body).toMatchObject({
      status: 'Success',
      details: { name: 'a', uid: made['metadata']?.['uid'] },
    });
    expect((await call('DELETE', `${maps}/a`)).code).toBe(404);
  });

  test('waits for finalizers, takes no new ones, and ends with the last', async () => {
    await call('POST', maps, map('a', {}, { finalizers: ['x.io/one', 'x.io/two'] }));
    const marked = await call('DELETE', `${maps}/a`);
    expect(marked.body['metadata']?.['deletionTimestamp']).toBeDefined();
    const finalizers = (list: string[]) =>
      call('PATCH', `${maps}/a`, { metadata: { finalizers: list } }, merge);
    expect((await finalizers(['x.io/one', 'x.io/three'])).code).toBe(422);
    await finalizers(['x.io/two']);
    expect((await call('GET', `${maps}/a`)).code).toBe(200);
    await finalizers([]);
    expect((await call('GET', `${maps}/a`)).code).toBe(404);
  });

  test('holds to its preconditions, its policy and dry runs', async () => {
    const made = (await call('POST', maps, map('a'))).body;
    const wrong = await call('DELETE', `${maps}/a`, { preconditions: { uid: 'other' } });
    expect(wrong.code).toBe(409);
    expect((await call('DELETE', `${maps}/a`, { preconditions: { resourceVersion: '1' } })).code).toBe(409);
    expect((await call('DELETE', `${maps}/a`, { dryRun: ['All'] })).code).toBe(200);
    expect((await call('DELETE', `${maps}/a?propagationPolicy=Perhaps`)).code).toBe(400);
    const foreground = await call('DELETE', `${maps}/a`, {
      propagationPolicy: 'Foreground',
      preconditions: { uid: made['metadata']?.['uid'] },
    });
    expect(foreground.body['metadata']?.['finalizers']).toEqual(['foregroundDeletion']);
  });

  test('gives a pod on a node its grace, and ends it by the node with grace 0', async () => {
    await call('POST', pods, pod('a', { nodeName: 'n1', terminationGracePeriodSeconds: 20 }));
    const marked = (await call('DELETE', `${pods}/a`)).body;
    expect(marked['metadata']).toMatchObject({ deletionGracePeriodSeconds: 20 });
    const shorter = (await call('DELETE', `${pods}/a`, { gracePeriodSeconds: 5 })).body;
    expect(shorter['metadata']).toMatchObject({ deletionGracePeriodSeconds: 5 });
    const longer = (await call('DELETE', `${pods}/a`, { gracePeriodSeconds: 60 })).body;
    expect(longer['metadata']).toMatchObject({ deletionGracePeriodSeconds: 5 });
    expect((await call('GET', `${pods}/a`)).code).toBe(200);
    await call('DELETE', `${pods}/a`, { gracePeriodSeconds: 0 });
    expect((await call('GET', `${pods}/a`)).code).toBe(404);
    await call('POST', pods, pod('unscheduled'));
    await call('DELETE', `${pods}/unscheduled`);
    expect((await call('GET', `${pods}/unscheduled`)).code).toBe(404);
  });

  test('of a collection takes what the selector takes', async () => {
    for (const [name, app] of [
      ['a', 'x'],
      ['b', 'x'],
      ['c', 'y'],
    ] as const)
      await call('POST', maps, map(name, {}, { labels: { app } }));
    const deleted = await call('DELETE', `${maps}?labelSelector=app%3Dx`);
    expect((deleted.body['items'] as unknown as unknown[]).length).toBe(2);
    const left = (await call('GET', maps)).body['items'] as unknown as { metadata: { name: string } }[];
    expect(left.map(({ metadata }) => metadata.name)).toEqual(['c']);
  });
});

import { get, type IncomingMessage } from 'node:http';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { virtualClock } from '../../../lib/clock.ts';
import { callsTo, type Loose, type TestCalls } from '../../../../test/support/api-call.ts';
import { memoryStore } from '../store/memory-store.ts';
import type { Store } from '../store/store.ts';
import { startTestApi, type TestApi } from '../../../../test/support/api-server.ts';

const maps = '/api/v1/namespaces/default/configmaps';
const merge = { 'content-type': 'application/merge-patch+json' };
let api: TestApi;
let store: Store;
let call: TestCalls['call'];
let watch: TestCalls['watch'];
beforeEach(async () => {
  // The store is older than the server: what happened before its start is forgotten.
  store = memoryStore();
  for (let i = 0; i < 10; i++)
    await store.commit([{ key: `/other/${i}`, expected: 0, value: '' }], new AbortController().signal);
  api = await startTestApi({ store });
  ({ call, watch } = callsTo(api.url));
});
afterEach(() => api.close());

const make = (name: string, labels: object = {}) =>
  call('POST', maps, { metadata: { name, labels }, data: {} });
const items = (body: Loose) => body['items'] as unknown as { metadata: { name: string } }[];
const names = (body: Loose) => items(body).map(({ metadata }) => metadata.name);
const versionOf = async () => String((await call('GET', maps)).body['metadata']?.['resourceVersion']);
const brief = (event: Loose | undefined) =>
  `${String(event?.['type'])} ${String(event?.['object']?.['metadata']?.['name'])}`;

describe('list', () => {
  test('shows one revision over all its pages, whatever is written between them', async () => {
    for (const name of ['a', 'b', 'c', 'd', 'e']) await make(name);
    const first = (await call('GET', `${maps}?limit=2`)).body;
    expect(names(first)).toEqual(['a', 'b']);
    expect(first['metadata']).toMatchObject({ remainingItemCount: 3 });
    await call('DELETE', `${maps}/c`);
    await make('bb');
    await call('PATCH', `${maps}/d`, { data: { x: 'new' } }, merge);
    const token = encodeURIComponent(String(first['metadata']?.['continue']));
    const second = (await call('GET', `${maps}?limit=2&continue=${token}`)).body;
    expect(names(second)).toEqual(['c', 'd']);
    expect(items(second)[1]).toMatchObject({ data: {} });
    expect(second['metadata']).toMatchObject({
      resourceVersion: first['metadata']?.['resourceVersion'],
      remainingItemCount: 1,
    });
    const next = encodeURIComponent(String(second['metadata']?.['continue']));
    const last = (await call('GET', `${maps}?limit=2&continue=${next}`)).body;
    expect(names(last)).toEqual(['e']);
    expect(last['metadata']).not.toHaveProperty('continue');
    expect(last['metadata']).not.toHaveProperty('remainingItemCount');
  });

  test('tells no remaining count with a selector', async () => {
    for (const name of ['a', 'b', 'c']) await make(name, { app: 'x' });
    await make('d', { app: 'y' });
    const page = (await call('GET', `${maps}?labelSelector=app%3Dx&limit=2`)).body;
    expect(names(page)).toEqual(['a', 'b']);
    expect(page['metadata']).toHaveProperty('continue');
    expect(page['metadata']).not.toHaveProperty('remainingItemCount');
  });

  test('an old version: Exact shows it; what is forgotten is 410 with a token to go on', async () => {
    await make('a');
    const version = await versionOf();
    await make('b');
    const old = await call('GET', `${maps}?resourceVersion=${version}&resourceVersionMatch=Exact`);
    expect(names(old.body)).toEqual(['a']);
    const newer = await call('GET', `${maps}?resourceVersion=${version}&resourceVersionMatch=NotOlderThan`);
    expect(names(newer.body)).toEqual(['a', 'b']);
    const token = Buffer.from(JSON.stringify({ rv: 1, after: 'default/a' })).toString('base64url');
    const gone = await call('GET', `${maps}?continue=${token}`);
    expect(gone.code).toBe(410);
    expect(gone.body['reason']).toBe('Expired');
    const on = encodeURIComponent(String(gone.body['metadata']?.['continue']));
    expect(names((await call('GET', `${maps}?continue=${on}`)).body)).toEqual(['b']);
  });

  test.each([
    'resourceVersionMatch=Exact',
    'resourceVersion=0&resourceVersionMatch=Exact',
    'resourceVersion=5&resourceVersionMatch=Sometimes',
    'resourceVersion=five',
    'continue=rubbish',
    'limit=-1',
    'labelSelector=a%20in%20(',
    'fieldSelector=spec.nothing%3Dx',
  ])('refuses %s', async (query) => {
    expect((await call('GET', `${maps}?${query}`)).code).toBe(400);
  });

  test('selects by name, namespace and labels, over all namespaces', async () => {
    await make('a', { app: 'x', tier: 'front' });
    await make('b', { app: 'x' });
    await call('POST', '/api/v1/namespaces/kube-system/configmaps', {
      metadata: { name: 'a', labels: { app: 'x' } },
    });
    expect(names((await call('GET', '/api/v1/configmaps?labelSelector=app%3Dx')).body)).toEqual([
      'a',
      'b',
      'a',
    ]);
    expect(names((await call('GET', `${maps}?labelSelector=app%2C!tier`)).body)).toEqual(['b']);
    const field = encodeURIComponent('metadata.name=a,metadata.namespace!=default');
    expect(items((await call('GET', `/api/v1/configmaps?fieldSelector=${field}`)).body)).toHaveLength(1);
  });

  test('a version from the future is waited for, then refused', async () => {
    const clock = virtualClock();
    const slow = await startTestApi({ clock });
    const ends: string[] = [];
    const waiting = callsTo(slow.url)
      .call('GET', `${maps}?resourceVersion=1000`)
      .finally(() => ends.push('answered'));
    // However long the call takes to get there: time goes on until it is answered.
    while (ends.length === 0) {
      await new Promise((resolve) => setTimeout(resolve, 5));
      await clock.advance(100);
    }
    const answer = await waiting;
    expect(answer.code).toBe(504);
    expect(answer.body['details']).toMatchObject({ causes: [{ reason: 'ResourceVersionTooLarge' }] });
    await slow.close();
  });

  test('gives metadata only, where that is asked for', async () => {
    await make('a');
    const accept = { accept: 'application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1' };
    const answer = await call('GET', maps, undefined, accept);
    expect(answer.body['kind']).toBe('PartialObjectMetadataList');
    expect(items(answer.body)[0]).not.toHaveProperty('data');
    expect((await call('GET', maps, undefined, { accept: 'text/html' })).code).toBe(406);
  });
});

describe('watch', () => {
  test('goes on from a list without gap or repetition', async () => {
    await make('before');
    const version = await versionOf();
    await make('a');
    const watching = await watch(`${maps}?watch=1&resourceVersion=${version}`);
    await call('PATCH', `${maps}/a`, { data: { x: '1' } }, merge);
    await call('DELETE', `${maps}/a`);
    const seen = [await watching.next(), await watching.next(), await watching.next()];
    expect(seen.map(brief)).toEqual(['ADDED a', 'MODIFIED a', 'DELETED a']);
    const versions = seen.map((event) => Number(event?.['object']?.['metadata']?.['resourceVersion']));
    expect(versions).toEqual([...versions].sort((x, y) => x - y));
    expect(new Set(versions).size).toBe(3);
    watching.close();
  });

  test('an object that enters the selector is ADDED, one that leaves is DELETED', async () => {
    const watching = await watch(
      `${maps}?watch=1&resourceVersion=${await versionOf()}&labelSelector=app%3Dx`,
    );
    await make('a');
    await call('PATCH', `${maps}/a`, { metadata: { labels: { app: 'x' } } }, merge);
    await call('PATCH', `${maps}/a`, { data: { k: 'v' } }, merge);
    await call('PATCH', `${maps}/a`, { metadata: { labels: { app: 'y' } } }, merge);
    await call('PATCH', `${maps}/a`, { data: { k: 'w' } }, merge);
    await make('end', { app: 'x' });
    const seen = [];
    for (let i = 0; i < 4; i++) seen.push(await watching.next());
    expect(seen.map(brief)).toEqual(['ADDED a', 'MODIFIED a', 'DELETED a', 'ADDED end']);
    expect(seen[2]?.['object']?.['metadata']?.['labels']).toEqual({ app: 'x' });
    watching.close();
  });

  test('sendInitialEvents: all that is there, the marked bookmark, then what happens', async () => {
    await make('a');
    await make('b');
    const watching = await watch(
      `${maps}?watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true`,
    );
    expect([brief(await watching.next()), brief(await watching.next())]).toEqual(['ADDED a', 'ADDED b']);
    const bookmark = await watching.next();
    expect(bookmark?.['type']).toBe('BOOKMARK');
    expect(bookmark?.['object']).toMatchObject({
      kind: 'ConfigMap',
      metadata: { annotations: { 'k8s.io/initial-events-end': 'true' }, resourceVersion: await versionOf() },
    });
    await make('c');
    expect(brief(await watching.next())).toBe('ADDED c');
    watching.close();
    for (const query of ['sendInitialEvents=true', 'resourceVersionMatch=NotOlderThan&resourceVersion=1'])
      expect((await watch(`${maps}?watch=1&${query}`)).code).toBe(400);
  });

  test('without a version: what is there first', async () => {
    await make('a');
    const watching = await watch(`${maps}?watch=true`);
    expect(brief(await watching.next())).toBe('ADDED a');
    watching.close();
  });

  test('a version that is forgotten: one ERROR with 410, then the end', async () => {
    const watching = await watch(`${maps}?watch=1&resourceVersion=1`);
    const event = await watching.next();
    expect(event).toMatchObject({ type: 'ERROR', object: { kind: 'Status', code: 410, reason: 'Expired' } });
    expect(await watching.next()).toBeUndefined();
  });

  test('ends by its own timeout with a bookmark', async () => {
    const watching = await watch(
      `${maps}?watch=1&timeoutSeconds=1&allowWatchBookmarks=true&resourceVersion=${await versionOf()}`,
    );
    expect((await watching.next())?.['type']).toBe('BOOKMARK');
    expect(await watching.next()).toBeUndefined();
  });

  test('a Table watch sends its headers once', async () => {
    await make('a');
    await make('b');
    const accept = { accept: 'application/json;as=Table;v=v1;g=meta.k8s.io' };
    const answer = await fetch(`${api.url}${maps}?watch=1&timeoutSeconds=1`, { headers: accept });
    const events = (await answer.text())
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Loose);
    expect(events.map((event) => event['object']?.['kind'])).toEqual(['Table', 'Table']);
    const columns = events.map(
      (event) => (event['object']?.['columnDefinitions'] as unknown as unknown[] | null)?.length ?? 0,
    );
    expect(columns[0]).toBeGreaterThan(0);
    expect(columns[1]).toBe(0);
  });

  test('a watcher that does not read is cut off with 410, and holds nobody up', async () => {
    const paused = await new Promise<IncomingMessage>((resolve) => {
      get(`${api.url}${maps}?watch=1`, { agent: false }, (answer) => resolve(answer.pause()));
    });
    const key = '/registry/core/configmaps/default/busy';
    const signal = new AbortController().signal;
    const padding = 'x'.repeat(3000);
    let expected = 0;
    for (let i = 0; i < 12_000; i++) {
      const value = JSON.stringify({
        apiVersion: 'v1',
        kind: 'ConfigMap',
        metadata: { name: 'busy', namespace: 'default', uid: 'u' },
        data: { i: String(i), padding },
      });
      const result = await store.commit([{ key, expected, value }], signal);
      expected = result.committed ? result.revision : -1;
      // The server and its other clients go on meanwhile.
      if (i % 1000 === 0) expect((await call('GET', `${maps}/busy`)).code).toBe(200);
    }
    let text = '';
    paused.on('data', (chunk: Buffer) => (text += chunk.toString()));
    paused.resume();
    await new Promise((resolve) => paused.once('end', resolve));
    const events = text
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Loose);
    expect(events.at(-1)).toMatchObject({ type: 'ERROR', object: { code: 410 } });
    const seen = events.slice(0, -1).map((event) => Number(event['object']?.['data']?.['i']));
    expect(seen.length).toBeLessThan(12_000);
    expect(seen).toEqual(seen.map((_, i) => (seen[0] as number) + i));
  });
});

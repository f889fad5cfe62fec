import { expect, test } from 'vitest';
import { Pods } from '../api/core.ts';
import type { Stored } from '../api/resource.ts';
import { virtualClock } from '../lib/clock.ts';
import { silentLogger } from '../lib/log.ts';
import type { Pod } from 'kubernetes-types/core/v1.js';
import type { KubeClient, WatchEvent } from './client.ts';
import { KubeError, kubeErrorOf } from './errors.ts';
import { createCache } from './watch-cache.ts';

const pod = (name: string, version: number, uid = `u-${name}`): Stored<Pod> => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: {
    name,
    namespace: 'x',
    uid,
    resourceVersion: String(version),
    creationTimestamp: '2026-01-01T00:00:00Z',
    managedFields: [{ manager: 'someone' }],
  },
});
const settle = async () => {
  for (let turn = 0; turn < 10; turn++) await new Promise((resolve) => setImmediate(resolve));
};

type WatchStep = WatchEvent<Pod> | Error | 'end';

/** A server whose list and watches the test plays by hand. */
function scripted(options: { minor?: string; refusesVersion?: boolean } = {}) {
  const calls: string[] = [];
  const state = { items: [] as Stored<Pod>[], version: '10', pages: 1 };
  let push: ((step: WatchStep) => void) | undefined;
  const refuse: Error[] = [];
  const client = {
    async request() {
      if (options.refusesVersion) throw kubeErrorOf(403, { kind: 'Status', reason: 'Forbidden' });
      return { major: '1', minor: options.minor ?? '26' };
    },
    async listPage(_resource: unknown, selection: { continue?: string }) {
      calls.push(`list${selection.continue ? ` ${selection.continue}` : ''}`);
      const failure = refuse.shift();
      if (failure) throw failure;
      const page = Number(selection.continue ?? 0);
      const each = Math.ceil(state.items.length / state.pages);
      return {
        items: structuredClone(state.items.slice(page * each, (page + 1) * each)),
        resourceVersion: state.version,
        continue: page + 1 < state.pages ? String(page + 1) : undefined,
      };
    },
    async *watchOnce(
      _resource: unknown,
      selection: { resourceVersion: string; sendInitialEvents?: boolean },
      { signal }: { signal: AbortSignal },
    ) {
      calls.push(`watch ${selection.sendInitialEvents ? 'initial' : selection.resourceVersion}`);
      const steps: WatchStep[] = [];
      let wake: () => void = () => undefined;
      push = (step) => {
        steps.push(step);
        wake();
      };
      signal.addEventListener('abort', () => push?.(signal.reason as Error), { once: true });
      for (;;) {
        const step = steps.shift();
        if (step === 'end') return;
        if (step instanceof Error) throw step;
        if (step) yield step;
        else await new Promise<void>((resolve) => (wake = resolve));
      }
    },
  } as unknown as KubeClient;
  return { client, calls, state, refuse, send: (step: WatchStep) => push?.(step) };
}

async function started(server: ReturnType<typeof scripted>) {
  const clock = virtualClock();
  const cache = createCache(server.client, Pods, {}, { clock, log: silentLogger, random: () => 0 });
  const changes: string[] = [];
  cache.onChange(({ type, object }) => changes.push(`${type} ${object.metadata.uid}`));
  await settle();
  return { clock, cache, changes, names: () => cache.list().map((one) => one.metadata.name) };
}

test('pages are listed, then the watch goes on from the list’s revision', async () => {
  const server = scripted();
  server.state.items = [pod('a', 1), pod('b', 2), pod('c', 3)];
  server.state.pages = 3;
  const { cache, names } = await started(server);
  await cache.synced(new AbortController().signal);
  expect(server.calls).toEqual(['list', 'list 1', 'list 2', 'watch 10']);
  expect(names()).toEqual(['a', 'b', 'c']);
  expect(cache.get({ namespace: 'x', name: 'a' })?.metadata.managedFields).toBeUndefined();
  server.send({ type: 'MODIFIED', object: pod('a', 11) });
  server.send({ type: 'BOOKMARK', resourceVersion: '15', initialEventsEnd: false });
  server.send('end');
  await settle();
  expect(server.calls.at(-1)).toBe('watch 15');
});

test('what vanished while the watch was blind is told as deleted, what was remade as both', async () => {
  const server = scripted();
  server.state.items = [pod('a', 1), pod('b', 2), pod('c', 3)];
  const { clock, changes, names } = await started(server);
  changes.length = 0;
  server.state.items = [pod('b', 2), pod('c', 12, 'u-c2')];
  server.state.version = '20';
  server.send(kubeErrorOf(410, { kind: 'Status', reason: 'Expired', code: 410 }));
  await settle();
  expect(server.calls.at(-1)).toBe('watch 10'); // It waits before it lists again.
  await clock.advance(1000);
  expect(server.calls.slice(-2)).toEqual(['list', 'watch 20']);
  expect(changes).toEqual(['deleted u-c', 'added u-c2', 'deleted u-a']);
  expect(names()).toEqual(['b', 'c']);
});

test('a broken watch is taken up from the last revision, without a list, later each time', async () => {
  const server = scripted();
  const { clock } = await started(server);
  server.send({ type: 'ADDED', object: pod('a', 11) });
  await settle();
  const broken = new KubeError({ status: 0, reason: 'Unreachable', message: 'reset' });
  server.send(broken);
  await settle();
  await clock.advance(200);
  server.send(broken);
  await settle();
  await clock.advance(200);
  expect(server.calls).toEqual(['list', 'watch 10', 'watch 11']);
  await clock.advance(200);
  expect(server.calls).toEqual(['list', 'watch 10', 'watch 11', 'watch 11']);
});

test('a watch on which nothing comes past its end is given up', async () => {
  const server = scripted();
  const { clock } = await started(server);
  await clock.advance(329_000);
  expect(server.calls).toEqual(['list', 'watch 10']);
  await clock.advance(2_000);
  expect(server.calls).toEqual(['list', 'watch 10', 'watch 10']);
});

test('a wire that was cut after bookmarks had come is noticed within minutes', async () => {
  const server = scripted();
  const { clock } = await started(server);
  for (let minute = 0; minute < 3; minute++) {
    await clock.advance(60_000);
    server.send({ type: 'BOOKMARK', resourceVersion: `${20 + minute}`, initialEventsEnd: false });
    await settle();
  }
  await clock.advance(170_000);
  expect(server.calls).toEqual(['list', 'watch 10']);
  await clock.advance(200_000);
  expect(server.calls.slice(0, 3)).toEqual(['list', 'watch 10', 'watch 22']);
});

test('a server that has initial events sends its list by them', async () => {
  const server = scripted({ minor: '32+' });
  const { cache, names } = await started(server);
  server.send({ type: 'ADDED', object: pod('a', 1) });
  server.send({ type: 'BOOKMARK', resourceVersion: '5', initialEventsEnd: true });
  await settle();
  expect(server.calls).toEqual(['watch initial', 'watch 5']);
  expect(cache.hasSynced).toBe(true);
  expect(names()).toEqual(['a']);
});

test('one that refuses or ignores them is listed', async () => {
  for (const how of ['refuses', 'ignores']) {
    const server = scripted({ minor: '32' });
    server.state.items = [pod('a', 1)];
    const { clock, cache } = await started(server);
    if (how === 'refuses') server.send(kubeErrorOf(422, { kind: 'Status', reason: 'Invalid' }));
    await settle();
    await clock.advance(31_000);
    expect(server.calls).toEqual(['watch initial', 'list', 'watch 10']);
    expect(cache.hasSynced).toBe(true);
  }
});

test('one that does not tell us its version is listed', async () => {
  const server = scripted({ refusesVersion: true });
  const { cache } = await started(server);
  expect(server.calls).toEqual(['list', 'watch 10']);
  expect(cache.hasSynced).toBe(true);
});

test('a failing list is tried again and readers wait', async () => {
  const server = scripted();
  server.refuse.push(kubeErrorOf(503, ''), kubeErrorOf(503, ''));
  const { clock, cache } = await started(server);
  expect(cache.hasSynced).toBe(false);
  await clock.advance(1000);
  expect(cache.hasSynced).toBe(true);
});

test('our own write is seen at once, and the watch neither doubles it nor takes it back', async () => {
  const server = scripted();
  server.state.items = [pod('a', 5)];
  const { cache, changes } = await started(server);
  cache.remember(pod('b', 12));
  expect(cache.get({ namespace: 'x', name: 'b' })).toBeDefined();
  server.send({ type: 'MODIFIED', object: pod('a', 11) });
  server.send({ type: 'ADDED', object: pod('b', 12) });
  server.send({ type: 'DELETED', object: pod('b', 13) });
  await settle();
  expect(cache.get({ namespace: 'x', name: 'b' })).toBeUndefined();
  cache.remember(pod('b', 12)); // The answer came after the watch had passed it.
  expect(cache.get({ namespace: 'x', name: 'b' })).toBeUndefined();
  expect(changes).toEqual(['added u-a', 'added u-b', 'changed u-a', 'deleted u-b']);
});

test('a remembered write survives a list that is older than it', async () => {
  const server = scripted();
  const { clock, cache } = await started(server);
  cache.remember(pod('b', 12));
  server.send(kubeErrorOf(410, { kind: 'Status', reason: 'Expired' }));
  await settle();
  server.state.version = '11';
  await clock.advance(1000);
  expect(cache.get({ namespace: 'x', name: 'b' })).toBeDefined();
});

test('indexes follow the objects', async () => {
  const server = scripted();
  server.state.items = [pod('a', 1), pod('b', 2)];
  const { cache } = await started(server);
  cache.addIndexes({ node: (one) => (one.spec?.nodeName ? [one.spec.nodeName] : []) });
  const placed = { ...pod('a', 11), spec: { containers: [], nodeName: 'n1' } };
  server.send({ type: 'MODIFIED', object: placed });
  await settle();
  expect(cache.byIndex('node', 'n1').map((one) => one.metadata.name)).toEqual(['a']);
  server.send({
    type: 'DELETED',
    object: { ...placed, metadata: { ...placed.metadata, resourceVersion: '12' } },
  });
  await settle();
  expect(cache.byIndex('node', 'n1')).toEqual([]);
  expect(() => cache.byIndex('other', 'x')).toThrow('no index other');
});

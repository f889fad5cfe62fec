import type { ConfigMap, Secret } from 'kubernetes-types/core/v1.js';
import { expect, test, onTestFinished } from 'vitest';
import { startTestClient } from '../../test/support/test-client.ts';
import { ConfigMaps, Secrets } from '../api/core.ts';
import type { Stored } from '../api/resource.ts';
import type { KubeClient } from '../kube/client.ts';
import { systemClock, virtualClock, type Clock } from '../lib/clock.ts';
import { silentLogger } from '../lib/log.ts';
import { Registry } from '../lib/metrics.ts';
import { createManager } from './manager.ts';
import { done, requeueAfter, type Outcome } from './outcome.ts';
import type { ControllerSpec, Reconciler } from './reconciler.ts';
import { triggeredBy } from './trigger.ts';

/** A controller of the ConfigMaps labelled `mine`, on the real API server. */
async function start(
  reconciler: Partial<Reconciler<ConfigMap>> & Pick<Reconciler<ConfigMap>, 'reconcile'>,
  spec: Partial<ControllerSpec<ConfigMap>> = {},
  clock: Clock = systemClock,
) {
  const client = await startTestClient();
  const registry = new Registry();
  const stopping = new AbortController();
  const manager = createManager({ client, clock, log: silentLogger, registry });
  manager.add({
    resource: ConfigMaps,
    labelSelector: 'mine',
    ...spec,
    reconciler: { name: 'test', ...reconciler },
  });
  const running = manager.run(stopping.signal);
  onTestFinished(async () => {
    stopping.abort(new Error('the test is over'));
    await running;
  });
  const { signal } = stopping;
  const make = (name: string, data = {}) =>
    client.create(
      ConfigMaps,
      { metadata: { name, namespace: 'default', labels: { mine: 'yes' } }, data },
      { signal },
    );
  return { client, manager, registry, stopping, running, signal, make };
}
const until = async (ready: () => boolean | Promise<boolean>) =>
  await expect.poll(ready, { interval: 5, message: String(ready) }).toBe(true);
const ref = (name: string) => ({ namespace: 'default', name });

test('the newest object is reconciled, by its name, and its end is told', async () => {
  const seen: string[] = [];
  const { make, client, signal } = await start({
    async reconcile(object) {
      seen.push(`${object.metadata.name} ${object.data?.['v']}`);
      return done;
    },
    async gone({ name }) {
      seen.push(`${name} gone`);
      return done;
    },
  });
  await make('a', { v: '1' });
  await until(() => seen.includes('a 1'));
  await client.patch(ConfigMaps, ref('a'), { type: 'merge', body: { data: { v: '2' } } }, { signal });
  await until(() => seen.includes('a 2'));
  await client.delete(ConfigMaps, ref('a'), { signal });
  await until(() => seen.at(-1) === 'a gone');
});

test('a throw is tried again later and later, keeps nothing from other names, and is counted', async () => {
  const clock = virtualClock();
  const times: number[] = [];
  const fine: string[] = [];
  const { make, registry } = await start(
    {
      async reconcile(object) {
        if (object.metadata.name !== 'bad') {
          fine.push(object.metadata.name);
          return done;
        }
        times.push(clock.now());
        throw new Error('no');
      },
    },
    { concurrency: 1 },
    clock,
  );
  await make('bad');
  await make('good');
  await until(() => fine.length === 1 && times.length === 1);
  for (let step = 0; step < 8; step++) await clock.advance(5 * 2 ** step);
  expect(times.length).toBeGreaterThan(5);
  const gaps = times.slice(1).map((time, index) => time - (times[index] ?? 0));
  expect(gaps).toEqual([...gaps].sort((a, b) => a - b));
  expect(await registry.metrics()).toMatch(
    /holdfast_reconcile_total\{controller="test",result="error"\} [5-9]/,
  );
});

test('an outcome asks for another look after its time', async () => {
  const clock = virtualClock();
  let looks = 0;
  const { make } = await start(
    {
      async reconcile(): Promise<Outcome> {
        looks++;
        return requeueAfter(60_000);
      },
    },
    {},
    clock,
  );
  await make('a');
  await until(() => looks === 1);
  await clock.advance(59_000);
  expect(looks).toBe(1);
  await clock.advance(1_000);
  expect(looks).toBe(2);
});

test('the finalizer is there before the first reconcile, and goes only when the clean-up is over', async () => {
  let mayGo = false;
  const seen: Stored<ConfigMap>[] = [];
  const clock = virtualClock();
  const { make, client, signal } = await start(
    {
      finalizer: 'holdfast.io/test',
      async reconcile(object) {
        seen.push(object);
        return done;
      },
      async finalize() {
        return mayGo ? done : requeueAfter(1_000);
      },
    },
    {},
    clock,
  );
  await make('a');
  await until(() => seen.length > 0);
  expect(seen[0]?.metadata.finalizers).toEqual(['holdfast.io/test']);
  await client.delete(ConfigMaps, ref('a'), { signal });
  await until(() => clock.sleeping > 1);
  await clock.advance(5_000);
  expect(await client.get(ConfigMaps, ref('a'), { signal })).toBeDefined();
  mayGo = true;
  await clock.advance(5_000);
  await until(async () => (await client.get(ConfigMaps, ref('a'), { signal })) === undefined);
});

test('a finalizer of another stays where it is', async () => {
  const { client, signal } = await start({
    finalizer: 'holdfast.io/test',
    reconcile: async () => done,
    finalize: async () => done,
  });
  const metadata = { name: 'a', namespace: 'default', labels: { mine: 'yes' }, finalizers: ['x.io/theirs'] };
  await client.create(ConfigMaps, { metadata }, { signal });
  const finalizers = async () => (await client.get(ConfigMaps, ref('a'), { signal }))?.metadata.finalizers;
  await until(async () => (await finalizers())?.length === 2);
  await client.delete(ConfigMaps, ref('a'), { signal });
  await until(async () => (await finalizers())?.length === 1);
  expect(await finalizers()).toEqual(['x.io/theirs']);
});

test('another kind’s change brings the names it maps to, those of before included', async () => {
  let looks: string[] = [];
  const { make, client, signal } = await start(
    {
      async reconcile(object) {
        looks.push(object.metadata.name);
        return done;
      },
    },
    {
      triggers: [triggeredBy(Secrets, (secret) => [ref(secret.metadata.labels?.['for'] ?? 'nobody')])],
    },
  );
  await make('a');
  await make('b');
  await until(() => looks.length === 2);
  await client.create(Secrets, { metadata: { ...ref('s'), labels: { for: 'a' } } }, { signal });
  await until(() => looks.length === 3);
  looks = [];
  await client.patch(
    Secrets,
    ref('s'),
    { type: 'merge', body: { metadata: { labels: { for: 'b' } } } },
    { signal },
  );
  await until(() => looks.length === 2);
  expect(looks.sort()).toEqual(['a', 'b']);
});

test('a change of another kind that leaves what counts as it was brings nothing', async () => {
  const mapped: string[] = [];
  const map = ({ data = {}, metadata }: Stored<Secret>) => {
    mapped.push(`data ${Object.keys(data).join()} label ${metadata.labels?.['of'] ?? ''}`);
    return [];
  };
  const sees = (secret: Stored<Secret>) => secret.metadata.labels;
  const triggers = [triggeredBy(Secrets, map, { sees })];
  const { client, signal } = await start({ reconcile: async () => done }, { triggers });
  const change = async (body: object) =>
    await client.patch(Secrets, ref('s'), { type: 'merge', body }, { signal });
  await client.create(Secrets, { metadata: ref('s') }, { signal });
  await until(() => mapped.length === 1);
  await change({ data: { k: btoa('v') } });
  await change({ metadata: { labels: { of: 'weight' } } });
  await client.delete(Secrets, ref('s'), { signal });
  await until(() => mapped.length === 5);
  const [added, changed, before, deleted] = mapped;
  expect(added).toBe('data  label ');
  expect([changed, before]).toEqual(['data k label weight', 'data k label ']);
  expect(deleted).toBe('data k label weight');
});

test('a reconcile past its limit is given up, its worker goes on, and its name waits for its real end', async () => {
  let running = 0;
  let most = 0;
  let finish: () => void = () => undefined;
  const others: string[] = [];
  const { make, client, signal } = await start(
    {
      async reconcile(object) {
        if (object.metadata.name !== 'slow') {
          others.push(object.metadata.name);
          return done;
        }
        most = Math.max(most, ++running);
        await new Promise<void>((resolve) => (finish = resolve)); // Ignores its signal.
        running--;
        return done;
      },
    },
    { concurrency: 1, timeoutMs: 50 },
  );
  await make('slow');
  await until(() => running === 1);
  await make('other');
  await until(() => others.length === 1);
  await client.patch(ConfigMaps, ref('slow'), { type: 'merge', body: { data: { v: '2' } } }, { signal });
  await new Promise((resolve) => setTimeout(resolve, 100));
  expect([running, most]).toEqual([1, 1]);
  const first = finish;
  first();
  await until(() => finish !== first);
  expect(most).toBe(1);
  finish();
});

test('stopping aborts what runs and waits for it', async () => {
  const log: string[] = [];
  const { make, stopping, running } = await start({
    async reconcile(_object, { signal }) {
      log.push('started');
      await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
      await new Promise((resolve) => setTimeout(resolve, 20));
      log.push('ended');
      return done;
    },
  });
  await make('a');
  await until(() => log.length === 1);
  stopping.abort(new Error('stop'));
  await running;
  expect(log).toEqual(['started', 'ended']);
});

test('nothing is reconciled before every cache is full, those too that only a reconciler reads', async () => {
  const client = await startTestClient();
  const stopping = new AbortController();
  const { signal } = stopping;
  await client.create(ConfigMaps, { metadata: ref('a') }, { signal });
  await client.create(Secrets, { metadata: ref('key') }, { signal });
  let open: () => void = () => undefined;
  const gate = new Promise<void>((resolve) => (open = resolve));
  // The list of Secrets is long in coming.
  const slow: KubeClient = {
    ...client,
    listPage: async (resource, ...rest) => {
      if (resource.kind === 'Secret') await gate;
      return await client.listPage(resource, ...rest);
    },
    async *watchOnce(resource, ...rest) {
      if (resource.kind === 'Secret') await gate;
      yield* client.watchOnce(resource, ...rest);
    },
  };
  const manager = createManager({ client: slow, clock: systemClock, log: silentLogger });
  const secrets = manager.caches.cache(Secrets);
  const configMaps = manager.caches.cache(ConfigMaps);
  const seen: (string | undefined)[] = [];
  const reconcile = async () => {
    seen.push(secrets.get(ref('key'))?.metadata.name);
    return await Promise.resolve(done);
  };
  manager.add({ resource: ConfigMaps, reconciler: { name: 'test', reconcile } });
  const running = manager.run(signal);
  await configMaps.synced(signal);
  open();
  await until(() => seen.length > 0);
  expect(seen[0]).toBe('key');
  stopping.abort(new Error('the test is over'));
  await running;
});

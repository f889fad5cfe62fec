import { expect, test } from 'vitest';
import { startTestClient } from '../../test/support/test-client.ts';
import { ConfigMaps, Events, Nodes } from '../api/core.ts';
import { virtualClock } from '../lib/clock.ts';
import { silentLogger } from '../lib/log.ts';
import { createEventRecorder } from './events.ts';

async function bench() {
  const client = await startTestClient();
  const { signal } = new AbortController();
  const clock = virtualClock();
  const recorder = () => createEventRecorder({ client, component: 'test', clock, log: silentLogger, signal });
  const object = await client.create(
    ConfigMaps,
    { metadata: { name: 'a', namespace: 'default' } },
    { signal },
  );
  const events = async () => (await client.list(Events, {}, { signal })).items;
  return { client, clock, signal, recorder, object, events };
}

test('a repeat raises the count of the one event', async () => {
  const { recorder, object, events, clock } = await bench();
  const one = recorder();
  one.event(object, 'Warning', 'Failed', 'no space');
  one.event(object, 'Normal', 'Fine', 'space again');
  await one.flush();
  await clock.advance(60_000);
  one.event(object, 'Warning', 'Failed', 'no space');
  await one.flush();
  const all = await events();
  expect(all.map(({ reason, count }) => [reason, count])).toEqual([
    ['Failed', 2],
    ['Fine', 1],
  ]);
  expect(all[0]).toMatchObject({
    type: 'Warning',
    message: 'no space',
    involvedObject: { kind: 'ConfigMap', name: 'a', uid: object.metadata.uid },
    source: { component: 'test' },
  });
  expect(Date.parse(all[0]?.lastTimestamp ?? '') - Date.parse(all[0]?.firstTimestamp ?? '')).toBe(60_000);
});

test('a list shows what an object tells in its order, over a restart too', async () => {
  const { recorder, object, events, clock } = await bench();
  const reasons = ['Scheduled', 'Pulled', 'Created', 'Started', 'Killing'];
  const first = recorder();
  for (const reason of reasons) first.event(object, 'Normal', reason, 'm'); // All in one millisecond.
  await first.flush();
  await clock.advance(1);
  const second = recorder(); // A new process, which knows nothing of the first, and may only create.
  second.event(object, 'Normal', 'Scheduled', 'm');
  await second.flush();
  expect((await events()).map(({ reason }) => reason)).toEqual([...reasons, 'Scheduled']);
});

test('one object cannot flood the API, and time gives it its voice back', async () => {
  const { recorder, object, events, clock } = await bench();
  const one = recorder();
  for (let count = 0; count < 100; count++) one.event(object, 'Normal', 'Loud', `number ${count}`);
  await one.flush();
  expect(await events()).toHaveLength(25);
  await clock.advance(300_000);
  one.event(object, 'Normal', 'Loud', 'after a rest');
  await one.flush();
  expect(await events()).toHaveLength(26);
});

test('an event that has expired begins anew', async () => {
  const { recorder, object, events, client, signal } = await bench();
  const one = recorder();
  one.event(object, 'Normal', 'R', 'm');
  await one.flush();
  const [before] = await events();
  await client.delete(Events, { namespace: 'default', name: before?.metadata.name ?? '' }, { signal });
  one.event(object, 'Normal', 'R', 'm');
  await one.flush();
  expect((await events()).map((event) => event.count)).toEqual([1]);
});

test('cluster-scoped objects’ events are in default, and a long message is cut by characters', async () => {
  const { recorder, events, client, signal } = await bench();
  const node = await client.create(Nodes, { metadata: { name: 'n1' } }, { signal });
  const one = recorder();
  one.event(node, 'Normal', 'Long', 'ä'.repeat(2_000));
  await one.flush();
  const [event] = await events();
  expect(event?.metadata.namespace).toBe('default');
  expect(Buffer.byteLength(event?.message ?? '')).toBeLessThanOrEqual(1_024);
  expect(event?.message).toMatch(/^ä+\.\.\.$/);
});

test('a wait is told once it has lasted, from its first mention; one that is over is not', async () => {
  const { recorder, object, events, clock } = await bench();
  const one = recorder();
  let isWaiting = true;
  one.wait(object, 'Short', 'is over soon', () => isWaiting);
  await clock.advance(2_000);
  one.wait(object, 'Long', 'lasts', () => true);
  isWaiting = false;
  await clock.advance(4_000);
  one.wait(object, 'Long', 'lasts', () => true);
  expect(await events()).toEqual([]);
  await clock.advance(1_000);
  await one.flush();
  expect((await events()).map(({ type, reason, count }) => [type, reason, count])).toEqual([
    ['Normal', 'Long', 1],
  ]);

  // Nothing waited for a while: the next wait has its own time.
  one.wait(object, 'Again', 'later', () => true);
  await clock.advance(4_900);
  await one.flush();
  expect(await events()).toHaveLength(1);
  await clock.advance(100);
  await one.flush();
  expect((await events()).map(({ reason }) => reason).sort()).toEqual(['Again', 'Long']);
});

import { expect, test } from 'vitest';
import { z } from 'zod';
import { virtualClock } from '../../lib/clock.ts';
import { cephError } from '../errno.ts';
import { isCephError } from '../errors.ts';
import { fakeCeph } from './fake-ceph.ts';
import { isFakeKilled } from './faults.ts';

const { signal } = new AbortController();
const place = { pool: 'p' };
const errorOf = async (work: Promise<unknown>) => {
  try {
    await work;
  } catch (error) {
    return isCephError(error) ? error.errnoName : isFakeKilled(error) ? 'killed' : String(error);
  }
  return 'no error';
};

test('a command changes the state, and what was sent is on the list', async () => {
  const fake = fakeCeph();
  await fake.mon({ prefix: 'osd pool create', pool: 'p', pg_num: 8 }, z.unknown(), { signal });
  fake.pools.get('p')!.size = 1;
  const values = await fake.mon(
    { prefix: 'osd pool get', pool: 'p', var: 'all' },
    z.object({ size: z.int(), pool_id: z.int() }),
    { signal },
  );
  expect(values).toEqual({ size: 1, pool_id: 2 });
  expect(fake.sent).toEqual(['osd pool create', 'osd pool get']);
  expect(await errorOf(fake.mon({ prefix: 'nope' }, z.unknown(), { signal }))).toBe('EINVAL');
});

test('a pool of three copies blocks I/O with one OSD, and works again when more come', async () => {
  const fake = fakeCeph({ osds: 1, pools: ['p'] });
  expect(await errorOf(fake.objects.createExclusive(place, 'o', { signal }))).toBe('ETIMEDOUT');
  const created = await fake.mon(
    { prefix: 'osd new', uuid: '8c2a92e8-4a3c-4d5c-a3c6-8e0ba2c5ec11' },
    z.object({ osdid: z.int() }),
    { signal },
  );
  fake.bootOsd(created.osdid, { host: 'node-z' });
  await fake.objects.createExclusive(place, 'o', { signal });
  const status = await fake.mon(
    { prefix: 'status' },
    z.object({ pgmap: z.object({ pgs_by_state: z.array(z.object({ state_name: z.string() })) }) }),
    { signal },
  );
  expect(status.pgmap.pgs_by_state.map((entry) => entry.state_name)).toEqual(['active+undersized']);
});

test('a crash walk: dead before or after the nth call, and for every later one until revived', async () => {
  for (const when of ['before', 'after'] as const) {
    const fake = fakeCeph({ pools: ['p'] });
    fake.killAt(2, when);
    await fake.objects.createExclusive(place, 'a', { signal });
    expect(await errorOf(fake.objects.createExclusive(place, 'b', { signal }))).toBe('killed');
    expect(await errorOf(fake.objects.remove(place, 'a', { signal }))).toBe('killed');
    fake.revive();
    expect(await fake.objects.remove(place, 'a', { signal })).toBe(true);
    expect(await fake.objects.remove(place, 'b', { signal })).toBe(when === 'after');
  }
});

test('a fault strikes the named operation, as often as asked', async () => {
  const fake = fakeCeph({ pools: ['p'] });
  fake.failAt('omap set', cephError('ETIMEDOUT', 'omap set', 'lost'), 2);
  await fake.objects.createExclusive(place, 'a', { signal });
  const set = () => fake.objects.omapSet(place, 'a', new Map([['k', 'v']]), { signal });
  expect([await errorOf(set()), await errorOf(set()), await errorOf(set())]).toEqual([
    'ETIMEDOUT',
    'ETIMEDOUT',
    'no error',
  ]);
});

test('two clients: one lock, and a blocklist entry cuts off one of them and its watch', async () => {
  const fake = fakeCeph({ pools: ['p'], osds: 3 });
  const other = fake.connect('10.1.0.2:0/77');
  const lock = { name: 'attach', cookie: 'c', description: '' };
  await fake.rbd.create(place, 'i', { sizeBytes: 1n, features: ['layering'] }, { signal });
  await other.objects.lock(place, 'h', lock, { signal });
  expect(await errorOf(fake.objects.lock(place, 'h', lock, { signal }))).toBe('EBUSY');
  expect(await errorOf(other.objects.lock(place, 'h', lock, { signal }))).toBe('EEXIST');
  fake.watch(place, 'i', '10.1.0.2:0/77');
  expect(await errorOf(fake.rbd.remove(place, 'i', { signal }))).toBe('EBUSY');
  await fake.mon(
    { prefix: 'osd blocklist', range: 'range', blocklistop: 'add', addr: '10.1.0.2/31' },
    z.unknown(),
    {
      signal,
    },
  );
  expect(await fake.rbd.watchers(place, 'i', { signal })).toEqual([]);
  expect(await errorOf(other.objects.remove(place, 'h', { signal }))).toBe('ESHUTDOWN');
});

test('latency runs on the clock, and an abort ends the wait without effect', async () => {
  const clock = virtualClock();
  const fake = fakeCeph({ clock, latencyMs: 100, pools: ['p'] });
  const own = new AbortController();
  const call = errorOf(fake.objects.createExclusive(place, 'a', { signal: own.signal }));
  own.abort(new Error('stop'));
  expect(await call).toBe('Error: stop');
  const removed = fake.objects.remove(place, 'a', { signal });
  await clock.advance(100);
  expect(await removed).toBe(false);
});

test('with no mon in reach every call fails with a retryable time-out', async () => {
  const fake = fakeCeph({ pools: ['p'] });
  fake.reachable = false;
  await expect(fake.poolId('p', { signal })).rejects.toMatchObject({
    errnoName: 'ETIMEDOUT',
    retryable: true,
  });
});

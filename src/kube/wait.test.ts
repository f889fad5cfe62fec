import type { Pod } from 'kubernetes-types/core/v1.js';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { Pods } from '../api/core.ts';
import type { Stored } from '../api/resource.ts';
import { virtualClock } from '../lib/clock.ts';
import { DeadlineError, isDeadlineError } from '../lib/deadline.ts';
import type { KubeClient } from './client.ts';
import { waitForObject } from './wait.ts';

beforeEach(() => void vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] }));
afterEach(() => void vi.useRealTimers());

/** A server that has these objects, and in which nothing ever changes. */
const still = (items: readonly Stored<Pod>[], reachable = true): KubeClient =>
  ({
    request: () => Promise.resolve({ major: '1', minor: '26' }),
    listPage: () =>
      reachable ? Promise.resolve({ items, resourceVersion: '1' }) : new Promise(() => undefined),
    watchOnce: () => ({ [Symbol.asyncIterator]: () => ({ next: () => new Promise(() => undefined) }) }),
  }) as unknown as KubeClient;

const pod = (status: Pod['status'], deletionTimestamp?: string) =>
  ({
    metadata: { name: 'web', namespace: 'default', ...(deletionTimestamp && { deletionTimestamp }) },
    status,
  }) as Stored<Pod>;

test.each([
  ['it is not there', still([])],
  ['it is Pending: no node fits', still([pod({ phase: 'Pending', message: 'no node fits' })])],
  ['it is Running, being deleted', still([pod({ phase: 'Running' }, '2026-01-01T00:00:00Z')])],
  ['it is there', still([pod(undefined)])],
  ['the API was not reached', still([], false)],
])('a wait that ends says that %s', async (state, client) => {
  const ref = { namespace: 'default', name: 'web' };
  const options = { signal: new AbortController().signal, timeoutMs: 5_000, clock: virtualClock() };
  const failure = waitForObject(client, Pods, ref, () => false, options).catch((error: unknown) => error);
  for (let turn = 0; turn < 10; turn++) await new Promise((resolve) => setImmediate(resolve));
  vi.advanceTimersByTime(5_000);
  const error = await failure;
  expect(isDeadlineError(error)).toBe(true);
  expect((error as Error).message).toBe(`Pod default/web did not finish within 5000 ms; ${state}`);
});

test('a caller’s own limit is told as the caller’s', async () => {
  const caller = new AbortController();
  const limit = new DeadlineError('the whole turn', 1_000);
  const options = { signal: caller.signal, timeoutMs: 5_000, clock: virtualClock() };
  const failure = waitForObject(still([]), Pods, { name: 'web' }, () => false, options).catch(
    (error: unknown) => error,
  );
  caller.abort(limit);
  expect(await failure).toBe(limit);
});

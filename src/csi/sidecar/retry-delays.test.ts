import { expect, test } from 'vitest';
import { done, requeueAfter } from '../../control/outcome.ts';
import { Code, RpcError } from '../../lib/grpc.ts';
import { retryDelays } from './retry-delays.ts';

const failing = () => Promise.reject(new RpcError(Code.NOT_FOUND, 'no pool'));
const least = () => 0; // No jitter.

test('the delay of each thing grows to the limit, and begins anew after a success', async () => {
  const delays = retryDelays(5_000, least);
  const { signal } = new AbortController();
  const told: [string, number][] = [];
  const tell = (reason: string, afterMs: number) => void told.push([reason, afterMs]);
  const fail = (key: string) => delays.attempt(key, signal, failing, tell);

  const outcomes = [await fail('a'), await fail('a'), await fail('a'), await fail('a'), await fail('b')];
  expect(outcomes).toEqual([1_000, 2_000, 4_000, 5_000, 1_000].map(requeueAfter));
  expect(told[0]).toEqual(['rpc error: code = NotFound desc = no pool', 1_000]);

  expect(await delays.attempt('a', signal, () => Promise.resolve(), tell)).toEqual(done);
  expect(told).toHaveLength(5);
  expect(await fail('a')).toEqual(requeueAfter(1_000));
  delays.reset('b');
  expect(await fail('b')).toEqual(requeueAfter(1_000));
});

test('a try that was given up is no failure', async () => {
  const delays = retryDelays(30_000, least);
  const stop = new AbortController();
  const told: string[] = [];
  stop.abort(new Error('leadership is lost'));
  const given = delays.attempt('a', stop.signal, failing, (reason) => void told.push(reason));
  await expect(given).rejects.toThrow('leadership is lost');
  expect(told).toEqual([]);
  const { signal } = new AbortController();
  expect(await delays.attempt('a', signal, failing, () => undefined)).toEqual(requeueAfter(1_000));
});

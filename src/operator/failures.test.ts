import { afterEach, beforeEach, expect, test } from 'vitest';
import { CephBlockPools, type CephBlockPool } from '../api/ceph/ceph-block-pool.ts';
import type { Stored } from '../api/resource.ts';
import { done } from '../control/outcome.ts';
import { virtualClock } from '../lib/clock.ts';
import { silentLogger } from '../lib/log.ts';
import { startOperatorBench, type OperatorBench } from '../../test/support/operator-bench.ts';
import { namespace } from '../../test/support/operator-node-double.ts';
import { tellsFailures } from './failures.ts';

const signal = new AbortController().signal;
let bench: OperatorBench;
beforeEach(async () => {
  bench = await startOperatorBench();
});
afterEach(async () => await bench.close());

/** A reconciler that fails as the test says, and what it makes its pool and the events say. */
async function rig() {
  const clock = virtualClock(Date.parse('2026-01-01T00:00:00Z'));
  let failure: Error | undefined;
  const events: string[] = [];
  const step = () => (failure ? Promise.reject(failure) : Promise.resolve(done));
  const reconciler = tellsFailures<CephBlockPool>(
    { name: 'test', finalizer: 'test', reconcile: step, finalize: step },
    {
      resource: CephBlockPools,
      kube: bench.client,
      events: { event: (_, type, reason, message) => void events.push(`${type} ${reason}: ${message}`) },
      clock,
    },
  );
  await bench.createPool('p', { failureDomain: 'osd', replicated: { size: 3 } });
  const pool = async () =>
    (await bench.client.get(CephBlockPools, { namespace, name: 'p' }, { signal })) as Stored<CephBlockPool>;
  return {
    clock,
    events,
    failWith: (error: Error | undefined) => void (failure = error),
    async turn(step: 'reconcile' | 'finalize' = 'reconcile', own = signal) {
      const turn = reconciler[step]?.(await pool(), { log: silentLogger, signal: own });
      return await turn?.then(
        () => 'well',
        (error: unknown) => (error as Error).message,
      );
    },
    said: async () =>
      (await pool()).status?.conditions
        ?.filter((one) => one.type === 'Reconciled')
        .map((one) => `${one.status} ${one.reason}: ${one.message}`)[0],
  };
}

test.each(['reconcile', 'finalize'] as const)(
  'a %s that goes on failing says so on the object, and that it is over',
  async (step) => {
    const { clock, events, failWith, turn, said } = await rig();
    failWith(new Error('no space'));
    expect(await turn(step)).toBe('no space');
    await clock.advance(4_999);
    await turn(step);
    expect([await said(), events]).toEqual([undefined, []]);
    await clock.advance(1);
    expect(await turn(step)).toBe('no space');
    const text = 'ReconcileFailed: A step failed and is tried again: no space';
    expect([await said(), events]).toEqual([`False ${text}`, [`Warning ${text}`]]);

    // A text that differs each time is no reason to write each time.
    failWith(new Error('no space, try 2'));
    await turn(step);
    expect(events).toHaveLength(1);
    await clock.advance(60_000);
    await turn(step);
    expect([await said(), events.length]).toEqual([`False ${text}, try 2`, 2]);

    failWith(undefined);
    expect(await turn(step)).toBe('well');
    expect(await said()).toBe('True ReconcileSucceeded: The step that failed went through');
  },
);

test('a failure that is over soon, and one of an operator that is stopped, are nobody’s news', async () => {
  const { clock, events, failWith, turn, said } = await rig();
  failWith(new Error('first'));
  await turn();
  failWith(undefined);
  await turn();
  await clock.advance(10_000);
  failWith(new Error('another'));
  await turn();
  const stopped = new AbortController();
  stopped.abort(new Error('stopped'));
  await clock.advance(10_000);
  await turn('reconcile', stopped.signal);
  expect([await said(), events]).toEqual([undefined, []]);
});

import { expect, test, onTestFinished } from 'vitest';
import { startTestClient } from '../../test/support/test-client.ts';
import { Leases } from '../api/core.ts';
import type { CallOptions, KubeClient } from '../kube/client.ts';
import { KubeError } from '../kube/errors.ts';
import { virtualClock } from '../lib/clock.ts';
import { silentLogger } from '../lib/log.ts';
import { isLeadershipLost, runAsLeader } from './leader-election.ts';

const lease = { namespace: 'default', name: 'operator' };

async function bench() {
  const client = await startTestClient();
  const clock = virtualClock();
  const log: string[] = [];
  let broken = new Set<string>();
  const underWay = new Set<Promise<unknown>>();
  /** Whose next write goes through without an answer, until it is given up. */
  const unanswered = new Set<string>();
  const contender = (identity: string) => {
    const stop = new AbortController();
    const gate =
      <A extends unknown[], R>(call: (...args: A) => Promise<R>) =>
      async (...args: A): Promise<R> => {
        if (broken.has(identity))
          throw new KubeError({ status: 0, reason: 'Unreachable', message: 'cut off' });
        const made = call(...args);
        underWay.add(made);
        return await made.finally(() => underWay.delete(made));
      };
    const answered =
      (call: (resource: unknown, object: unknown, options: CallOptions) => Promise<unknown>) =>
      async (resource: unknown, object: unknown, options: CallOptions): Promise<unknown> => {
        const answer = await call(resource, object, options);
        if (!unanswered.delete(identity)) return answer;
        await new Promise((resolve) => options.signal.addEventListener('abort', resolve, { once: true }));
        throw options.signal.reason;
      };
    const own: KubeClient = {
      ...client,
      get: gate(client.get) as never,
      update: answered(gate(client.update as never)) as never,
      create: answered(gate(client.create as never)) as never,
    };
    const ended = runAsLeader(
      { lease, identity },
      { client: own, clock, log: silentLogger, random: () => 0 },
      stop.signal,
      async (signal) => {
        log.push(`${identity} leads`);
        await new Promise<void>((resolve) =>
          signal.addEventListener('abort', () => resolve(), { once: true }),
        );
        log.push(`${identity} ends`);
      },
    ).then(
      () => undefined,
      (error: unknown) => error,
    );
    onTestFinished(async () => {
      stop.abort(new Error('over'));
      await clock.advance(20_000);
      await ended;
    });
    return { stop, ended };
  };
  // Calls take real time, so the clock stands still until they are through: a second is one on any machine.
  const settled = async () => {
    for (;;) {
      await clock.advance(0);
      if (underWay.size === 0) return;
      await Promise.allSettled(underWay);
    }
  };
  const pass = async (ms: number) => {
    await settled();
    for (let left = ms; left > 0; left -= 1_000) {
      await clock.advance(Math.min(1_000, left));
      await settled();
    }
  };
  const cut = (...identities: string[]) => (broken = new Set(identities));
  return { client, contender, log, pass, cut, unanswered };
}

test('one leads, keeps its lease, and gives it up at once when it stops', async () => {
  const { contender, log, pass, client } = await bench();
  const a = contender('a');
  await pass(3_000);
  contender('b');
  await pass(60_000);
  expect(log).toEqual(['a leads']);
  a.stop.abort(new Error('stop'));
  await a.ended;
  await pass(4_000);
  expect(log).toEqual(['a leads', 'a ends', 'b leads']);
  const held = await client.get(Leases, lease, { signal: new AbortController().signal });
  expect(held?.spec).toMatchObject({ holderIdentity: 'b', leaseTransitions: 1 });
});

test('one that stops while it renews gives the lease up at once all the same', async () => {
  const { contender, log, pass, unanswered } = await bench();
  const a = contender('a');
  await pass(3_000);
  contender('b');
  unanswered.add('a');
  await pass(3_000);
  expect(unanswered).toEqual(new Set()); // It waits for the answer.
  a.stop.abort(new Error('stop'));
  await a.ended;
  await pass(4_000);
  expect(log).toEqual(['a leads', 'a ends', 'b leads']);
});

test('one that stops while it takes the lease leaves nobody waiting for its end', async () => {
  const { contender, log, pass, unanswered } = await bench();
  unanswered.add('a');
  const a = contender('a');
  await pass(1_000);
  a.stop.abort(new Error('stop'));
  await a.ended;
  contender('b');
  await pass(1_000);
  expect(log).toEqual(['b leads']);
});

test('a leader that is cut off stops before another begins', async () => {
  const { contender, log, pass, cut } = await bench();
  const a = contender('a');
  await pass(3_000);
  contender('b');
  await pass(3_000);
  cut('a');
  await pass(12_000);
  expect(log).toEqual(['a leads', 'a ends']);
  expect(isLeadershipLost(await a.ended)).toBe(true);
  await pass(12_000);
  expect(log).toEqual(['a leads', 'a ends', 'b leads']);
});

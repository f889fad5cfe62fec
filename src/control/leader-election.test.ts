import { expect, test, onTestFinished } from 'vitest';
import { startTestClient } from '../../test/support/test-client.ts';
import { Leases } from '../api/core.ts';
import type { KubeClient } from '../kube/client.ts';
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
    const own: KubeClient = {
      ...client,
      get: gate(client.get) as never,
      update: gate(client.update) as never,
      create: gate(client.create) as never,
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
  return { client, contender, log, pass, cut: (...identities: string[]) => (broken = new Set(identities)) };
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

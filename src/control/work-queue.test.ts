import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { virtualClock } from '../lib/clock.ts';
import { createWorkQueue } from './work-queue.ts';

const settle = () => new Promise((resolve) => setImmediate(resolve));

test('a name added three times is given once', async () => {
  const queue = createWorkQueue({ clock: virtualClock() });
  for (let times = 0; times < 3; times++) queue.add('a');
  expect(await queue.take()).toBe('a');
  expect(queue.ready).toBe(0);
});

test('a name added while it is worked on comes back when that is over, not before', async () => {
  const queue = createWorkQueue({ clock: virtualClock() });
  queue.add('a');
  await queue.take();
  queue.add('a');
  expect(queue.ready).toBe(0);
  queue.release('a');
  expect(queue.ready).toBe(1);
});

test('of several delays the earliest counts', async () => {
  const clock = virtualClock();
  const queue = createWorkQueue({ clock });
  queue.addAfter('a', 1000);
  queue.addAfter('a', 200);
  queue.addAfter('a', 5000);
  await clock.advance(199);
  expect(queue.ready).toBe(0);
  await clock.advance(1);
  expect(queue.ready).toBe(1);
  await queue.take();
  queue.release('a');
  await clock.advance(10_000);
  expect(queue.ready).toBe(0);
});

test('failures wait longer each time, up to the bound, until the name is forgotten', () => {
  const queue = createWorkQueue({ clock: virtualClock(), random: () => 0, maxDelayMs: 30 });
  expect([1, 2, 3, 4, 5].map(() => queue.addAfterFailure('a'))).toEqual([5, 10, 20, 30, 30]);
  queue.forget('a');
  expect(queue.addAfterFailure('a')).toBe(5);
});

test('a closed queue gives nothing and wakes those who wait', async () => {
  const clock = virtualClock();
  const queue = createWorkQueue({ clock });
  const waiting = queue.take();
  queue.addAfter('a', 10);
  queue.close();
  queue.add('b');
  expect(await waiting).toBeUndefined();
  expect(await queue.take()).toBeUndefined();
  expect(clock.sleeping).toBe(0);
});

test('to release what nobody works on is a mistake', () => {
  expect(() => createWorkQueue({ clock: virtualClock() }).release('a')).toThrow('not being worked on');
});

test('no addition is lost, and no name is worked on twice at once', async () => {
  const name = fc.constantFrom('a', 'b', 'c', 'd');
  const command = fc.oneof(
    fc.record({ kind: fc.constant('add' as const), name }),
    fc.record({ kind: fc.constant('after' as const), name, ms: fc.integer({ min: 1, max: 50 }) }),
    fc.record({ kind: fc.constant('fail' as const), name }),
    fc.record({ kind: fc.constant('take' as const) }),
    fc.record({ kind: fc.constant('release' as const) }),
    fc.record({ kind: fc.constant('advance' as const), ms: fc.integer({ min: 1, max: 60 }) }),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(command, { maxLength: 60 }), async (commands) => {
      const clock = virtualClock();
      const queue = createWorkQueue({ clock });
      const working: string[] = [];
      /** Names that somebody asked to have looked at since they were last taken. */
      const wanted = new Set<string>();
      const taken = (one: string | undefined) => {
        if (one === undefined) return;
        expect(working).not.toContain(one);
        working.push(one);
        wanted.delete(one);
      };
      for (const one of commands) {
        if (one.kind === 'add') {
          wanted.add(one.name);
          queue.add(one.name);
        } else if (one.kind === 'after') {
          wanted.add(one.name);
          queue.addAfter(one.name, one.ms);
        } else if (one.kind === 'fail') {
          wanted.add(one.name);
          queue.addAfterFailure(one.name);
        } else if (one.kind === 'take') void queue.take().then(taken);
        else if (one.kind === 'release') {
          const first = working.shift();
          if (first !== undefined) queue.release(first);
        } else await clock.advance(one.ms);
        await settle();
      }
      // In the end everything wanted is given to someone.
      for (let round = 0; round < 20; round++) {
        for (const one of working.splice(0)) queue.release(one);
        await clock.advance(400_000);
        void queue.take().then(taken);
        await settle();
      }
      expect([...wanted]).toEqual([]);
    }),
    { numRuns: 150 },
  );
});

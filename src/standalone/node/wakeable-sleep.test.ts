import { expect, test } from 'vitest';
import { virtualClock } from '../../lib/clock.ts';
import { linkedAbort, wakeableSleep } from './wakeable-sleep.ts';

test('a pause ends by its time, by a wake, or by the end of it all', async () => {
  const clock = virtualClock();
  const end = new AbortController();
  using pause = wakeableSleep(clock, end.signal);
  let ended = 0;
  const begin = () => void pause.sleep(1_000).then(() => ended++);
  begin();
  await clock.advance(999);
  expect(ended).toBe(0);
  await clock.advance(1);
  expect(ended).toBe(1);
  begin();
  pause.wake();
  await clock.advance(0);
  expect(ended).toBe(2);
  begin(); // The wake came before the pause: it is not slept over.
  await clock.advance(0);
  expect(ended).toBe(3);
  pause.arm();
  begin();
  await clock.advance(500);
  expect(ended).toBe(3);
  end.abort();
  await clock.advance(0);
  expect(ended).toBe(4);
  expect(clock.sleeping).toBe(0);
});

test('a linked controller follows the signal, and is let go of', () => {
  const end = new AbortController();
  const linked = linkedAbort(end.signal);
  const loose = linkedAbort(end.signal);
  loose[Symbol.dispose]();
  end.abort(new Error('over'));
  expect([linked.signal.aborted, loose.signal.aborted]).toEqual([true, false]);
  expect(linkedAbort(end.signal).signal.reason).toEqual(new Error('over'));
});

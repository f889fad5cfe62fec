import { expect, test } from 'vitest';
import { fanOut } from './fan-out.ts';

/** An event loop that turns when told. */
function turns() {
  const planned: (() => void)[] = [];
  return {
    next: (act: () => void) => void planned.push(act),
    turn: () => planned.shift()?.(),
    get planned() {
      return planned.length;
    },
  };
}

test('a change that many watch is told over several turns, in order, and to each once', () => {
  const loop = turns();
  const { soon } = fanOut(loop.next);
  const woken: number[] = [];
  const wakes = Array.from({ length: 40 }, (_, i) => () => void woken.push(i));
  for (const wake of [...wakes, ...wakes]) soon(wake);
  expect(woken).toEqual([]);

  loop.turn();
  expect(woken).toEqual(Array.from({ length: 16 }, (_, i) => i));

  while (loop.planned > 0) loop.turn();
  expect(woken).toEqual(Array.from({ length: 40 }, (_, i) => i));
});

test('who asks again while it is woken comes after those that wait', () => {
  const loop = turns();
  const { soon } = fanOut(loop.next);
  const woken: string[] = [];
  const eager = () => {
    woken.push('eager');
    if (woken.length < 4) soon(eager);
  };
  soon(eager);
  const others = Array.from({ length: 16 }, (_, i) => () => void woken.push(`${i}`));
  for (const wake of others) soon(wake);
  loop.turn();
  expect(woken).toHaveLength(16);
  loop.turn();
  expect(woken.slice(16)).toEqual(['15', 'eager']);
});

test('who is forgotten is not woken, and nothing is planned for nobody', () => {
  const loop = turns();
  const { soon, forget } = fanOut(loop.next);
  let woken = 0;
  const wake = () => void woken++;
  soon(wake);
  forget(wake);
  loop.turn();
  expect(woken).toBe(0);
  expect(loop.planned).toBe(0);
});

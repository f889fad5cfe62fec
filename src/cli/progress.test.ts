import { expect, test } from 'vitest';
import { virtualClock } from '../lib/clock.ts';
import { createProgress } from './progress.ts';

const record = (isTerminal: boolean) => {
  let text = '';
  return {
    screen: { write: (part: string) => void (text += part), isTerminal, width: 40 },
    text: () => text,
  };
};

test('plain lines say each start, change and end with its time', async () => {
  const { screen, text } = record(false);
  const clock = virtualClock();
  const progress = createProgress(screen, clock);
  await progress.step('Ceph', async (step) => {
    await clock.advance(1500);
    step.detail('2 of 3 mons');
    step.detail('2 of 3 mons');
    await clock.advance(500);
  });
  expect(text()).toBe('     Ceph\n     Ceph  1.5 s  2 of 3 mons\nok   Ceph  2.0 s  2 of 3 mons\n');
  expect(progress.finished).toEqual([{ title: 'Ceph', ms: 2000 }]);
});

test('a failed step is shown as failed and throws on', async () => {
  const { screen, text } = record(false);
  const progress = createProgress(screen, virtualClock());
  await expect(progress.step('API', () => Promise.reject(new Error('no etcd')))).rejects.toThrow('no etcd');
  expect(text()).toContain('FAIL API  0.0 s');
  expect(progress.finished).toEqual([]);
});

test('a terminal gets one live line that never wraps', async () => {
  const { screen, text } = record(true);
  await createProgress(screen, virtualClock()).step('Ceph', async (step) => {
    step.detail('x'.repeat(200));
  });
  const drawn = text().split('\r\x1b[2K').slice(1, -1);
  expect(drawn.every((line) => line.length <= 40)).toBe(true);
  expect(text().endsWith('\n')).toBe(true);
});

import { afterEach, beforeEach, expect, test } from 'vitest';
import type { ImageSpec } from '../../host/attacher.ts';
import { HeldDeviceError } from '../../host/heal-qsd.ts';
import { virtualClock, type VirtualClock } from '../../lib/clock.ts';
import { silentLogger } from '../../lib/log.ts';
import { watchDaemons } from './watch-daemons.ts';

const imageOf = (image: string): ImageSpec => ({ clusterId: 'c', pool: 'p', image });

let clock: VirtualClock;
let stop: AbortController;
let done: Promise<void>;
const dead = new Map<string, ImageSpec>();
const calls: { image: string; atMs: number }[] = [];
let outcome: (image: string) => Promise<void>;

beforeEach(() => {
  clock = virtualClock(0);
  stop = new AbortController();
  dead.clear();
  calls.length = 0;
  outcome = async (image) => void dead.delete(image);
  const attacher = {
    unhealed: async () => [...dead.values()],
    async heal({ image }: ImageSpec) {
      calls.push({ image, atMs: clock.now() });
      await outcome(image);
      return { device: '/dev/loop1', replaced: [], failed: [] };
    },
  };
  done = watchDaemons({ attachers: [{}, attacher], clock, log: silentLogger, signal: stop.signal });
});
afterEach(async () => {
  stop.abort();
  await done;
});
const die = (...images: string[]) => images.forEach((image) => dead.set(image, imageOf(image)));

test('a dead daemon is healed at the next look, once', async () => {
  await clock.advance(5000);
  die('a');
  await clock.advance(10_000);
  expect(calls).toEqual([{ image: 'a', atMs: 6000 }]);
});

test('what fails is tried again, less and less often; a success forgets it', async () => {
  outcome = async () => {
    throw new Error('no mon answers');
  };
  die('a');
  await clock.advance(300_000);
  const gaps = calls.slice(1).map(({ atMs }, at) => atMs - calls[at]!.atMs);
  expect(gaps.slice(0, 7)).toEqual([1000, 2000, 4000, 8000, 16_000, 32_000, 60_000]);
  outcome = async (image) => void dead.delete(image);
  await clock.advance(60_000);
  const healedAt = calls.length;
  die('a');
  await clock.advance(2000);
  expect(calls.length).toBe(healedAt + 1);
});

test('a device that a process holds is looked at again and again, for it may be closed at any moment', async () => {
  outcome = async (image) => {
    throw new HeldDeviceError('/dev/loop1', image);
  };
  die('a');
  await clock.advance(30_000);
  expect(calls.length).toBeGreaterThanOrEqual(29);
});

test('a stuck one holds up none of the others, and only a few are healed at once', async () => {
  const finish: (() => void)[] = [];
  outcome = (image) =>
    new Promise((resolve) => {
      finish.push(() => {
        dead.delete(image);
        resolve();
      });
    });
  die('a', 'b', 'c', 'd', 'e', 'f');
  await clock.advance(10_000);
  expect(calls.map(({ image }) => image)).toEqual(['a', 'b', 'c', 'd']);
  finish[1]!();
  await clock.advance(2000);
  expect(calls.map(({ image }) => image)).toEqual(['a', 'b', 'c', 'd', 'e']);
  for (const end of finish) end();
});

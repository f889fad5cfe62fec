import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { virtualClock } from './clock.ts';
import { takeLockFile } from './lock-file.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'lock-'));
});
afterEach(() => rm(folder, { recursive: true }));
const signal = new AbortController().signal;

test('is held by one at a time, and left without a trace', async () => {
  const path = join(folder, 'up.lock');
  const clock = virtualClock();
  const waited: number[] = [];
  const first = await takeLockFile(path, { clock, signal });
  const second = takeLockFile(path, { clock, signal, onWait: (pid) => waited.push(pid) });
  await clock.advance(1000);
  while (clock.sleeping === 0) await clock.advance(0);
  expect(waited).toEqual([process.pid]);
  await first[Symbol.asyncDispose]();
  await clock.advance(100);
  await (await second)[Symbol.asyncDispose]();
  expect(await readdir(folder)).toEqual([]);
});

test('is taken over from a process that was killed', async () => {
  const path = join(folder, 'up.lock');
  await writeFile(path, JSON.stringify({ pid: process.pid, startTicks: 1 })); // This pid, but an earlier process.
  const lock = await takeLockFile(path, { clock: virtualClock(), signal });
  await lock[Symbol.asyncDispose]();
});

test('stops waiting when told to', async () => {
  const path = join(folder, 'up.lock');
  const clock = virtualClock();
  await takeLockFile(path, { clock, signal });
  const stop = new AbortController();
  const second = takeLockFile(path, { clock, signal: stop.signal });
  second.catch(() => undefined);
  while (clock.sleeping === 0) await clock.advance(0);
  stop.abort(new Error('interrupted'));
  await expect(second).rejects.toThrow('interrupted');
  expect(await readdir(folder)).toEqual(['up.lock']);
});

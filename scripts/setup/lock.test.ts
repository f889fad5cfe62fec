import { mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { takeLock } from './lock.mjs';

let folder: string;
let path: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'holdfast-lock-'));
  path = join(folder, 'setup.lock');
});

afterEach(() => rm(folder, { recursive: true }));

test('the second waits until the first gives it back', async () => {
  const release = await takeLock(path, {});
  let told = 0;
  const second = takeLock(path, { onWait: () => void (told++ === 0 && release()) });
  await (
    await second
  )();
  expect(told).toBeGreaterThan(0);
  expect(await readdir(folder)).toEqual([]);
});

test('one left by a process that is gone, or whose pid is another one now, is taken over', async () => {
  for (const holder of [`${2 ** 22 - 1} 1`, `${process.pid} 1`, '']) {
    await writeFile(path, holder);
    const release = await takeLock(path, {});
    expect(await readFile(path, 'utf8')).toMatch(new RegExp(`^${process.pid} \\d{2,}$`));
    await release();
    expect(await readdir(folder)).toEqual([]);
  }
});

test('who waits can be called off, and leaves nothing', async () => {
  const release = await takeLock(path, {});
  const stop = new AbortController();
  const reason = new Error('interrupted');
  const waiting = takeLock(path, { signal: stop.signal, onWait: () => stop.abort(reason) });
  await expect(waiting).rejects.toBe(reason);
  await release();
  expect(await readdir(folder)).toEqual([]);
});

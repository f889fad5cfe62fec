import { appendFile, mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { systemClock } from '../../lib/clock.ts';
import { readLog, type LogOptions } from './log-reader.ts';

let folder: string;
let path: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'log-reader-'));
  path = join(folder, '0.log');
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const plain: LogOptions = {
  follow: false,
  timestamps: false,
  tailLines: undefined,
  limitBytes: undefined,
  sinceMs: undefined,
};
const line = (second: number, text: string, tag = 'F') =>
  `2026-01-01T00:00:0${second}.5Z stdout ${tag} ${text}\n`;
async function read(options: Partial<LogOptions> = {}): Promise<string> {
  let text = '';
  const follow = { clock: systemClock, signal: AbortSignal.timeout(5_000), isLive: () => false };
  for await (const piece of readLog(path, { ...plain, ...options }, follow)) text += piece.toString();
  return text;
}

test('lines without their prefix; a partial line joins the next', async () => {
  await writeFile(path, line(1, 'one') + line(2, 'tw', 'P') + line(2, 'o') + line(3, ''));
  expect(await read()).toBe('one\ntwo\n\n');
  expect(await read({ timestamps: true })).toMatch(/^2026-01-01T00:00:01.5Z one\n/);
});

test('tail, since and limit; older files count', async () => {
  await writeFile(`${path}.20260101-000000`, line(1, 'old'));
  await writeFile(path, line(2, 'two') + line(3, 'three'));
  expect(await read()).toBe('old\ntwo\nthree\n');
  expect(await read({ tailLines: 1 })).toBe('three\n');
  expect(await read({ tailLines: 0 })).toBe('');
  expect(await read({ tailLines: 99 })).toBe('old\ntwo\nthree\n');
  expect(await read({ sinceMs: Date.parse('2026-01-01T00:00:03Z') })).toBe('three\n');
  expect(await read({ limitBytes: 6 })).toBe('old\ntw');
});

test('a log that is not there is empty', async () => {
  expect(await read()).toBe('');
});

test('followed across a rotation until the container has ended', async () => {
  await writeFile(path, line(1, 'before'));
  let live = true;
  let text = '';
  const follow = { clock: systemClock, signal: AbortSignal.timeout(8_000), isLive: () => live };
  const reading = (async () => {
    for await (const piece of readLog(path, { ...plain, follow: true }, follow)) text += piece.toString();
  })();
  const until = async (wanted: string) => {
    await vi.waitFor(() => expect(text).toBe(wanted), { timeout: 4_000, interval: 10 });
  };
  await until('before\n');
  await appendFile(path, line(2, 'more'));
  await until('before\nmore\n');
  await rename(path, `${path}.20260101-000002`);
  await appendFile(`${path}.20260101-000002`, line(3, 'late'));
  await writeFile(path, line(4, 'new'));
  await until('before\nmore\nlate\nnew\n');
  live = false;
  await appendFile(path, line(5, 'last'));
  await reading;
  expect(text).toBe('before\nmore\nlate\nnew\nlast\n');
});

import { mkdir, mkdtemp, readFile, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { writePayload } from './atomic-files.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'payload-'));
});
afterEach(() => rm(folder, { recursive: true }));

const payload = (files: Readonly<Record<string, string>>) =>
  new Map(Object.entries(files).map(([path, text]) => [path, { data: Buffer.from(text), mode: 0o600 }]));
const write = (files: Readonly<Record<string, string>>) =>
  writePayload(folder, payload(files), async () => {});

test('what is written again loses what is gone, but not the mount point of a volume below it', async () => {
  await write({ config: 'one', gone: 'x' });
  await mkdir(join(folder, 'keyring-store')); // The runtime makes it where a mount is to go.
  expect(await write({ config: 'two' })).toBe(true);
  expect(await readFile(join(folder, 'config'), 'utf8')).toBe('two');
  expect((await readdir(folder)).filter((name) => !name.startsWith('..'))).toEqual([
    'config',
    'keyring-store',
  ]);
  expect(await write({ config: 'two' })).toBe(false); // As at the restart of a container.
});

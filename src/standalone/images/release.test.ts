import { spawn } from 'node:child_process';
import { copyFile, mkdir, mkdtemp, readFile, readdir, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { installRelease, removeOldReleases } from './release.ts';

let base: string;
let dist: string;
let node: string;
let releases: string;

beforeEach(async () => {
  base = await mkdtemp(join(tmpdir(), 'holdfast-release-'));
  [dist, node, releases] = [join(base, 'dist'), join(base, 'node'), join(base, 'releases')];
  await mkdir(join(dist, 'node_modules/koffi'), { recursive: true });
  await writeFile(join(dist, 'holdfast.mjs'), 'one');
  await writeFile(join(dist, 'node_modules/koffi/index.js'), 'koffi');
  await writeFile(node, 'binary', { mode: 0o700 });
});
afterEach(() => rm(base, { recursive: true }));

test('a release is whole, can be run, and is made once', async () => {
  const hash = await installRelease(dist, node, releases);
  expect(hash).toMatch(/^[0-9a-f]{16}$/);
  expect((await readdir(join(releases, hash))).toSorted()).toEqual(['holdfast.mjs', 'node', 'node_modules']);
  expect((await stat(join(releases, hash, 'node'))).mode & 0o777).toBe(0o755);
  const { ino } = await stat(join(releases, hash));
  expect(await installRelease(dist, node, releases)).toBe(hash);
  expect((await stat(join(releases, hash))).ino).toBe(ino);
});

test('a rebuild is another folder, and the first stays as it was', async () => {
  const first = await installRelease(dist, node, releases);
  await writeFile(join(dist, 'holdfast.mjs'), 'two');
  const second = await installRelease(dist, node, releases);
  expect(second).not.toBe(first);
  expect(await readFile(join(releases, first, 'holdfast.mjs'), 'utf8')).toBe('one');
  expect(await readFile(join(releases, second, 'holdfast.mjs'), 'utf8')).toBe('two');
});

test('a release that cannot be copied leaves no half of one', async () => {
  const unreadable = join(base, 'folder-in-place-of-node');
  await mkdir(unreadable);
  await expect(installRelease(dist, unreadable, releases)).rejects.toThrow('folder-in-place-of-node');
  expect(await readdir(releases)).toEqual([]);
});

test('of old releases the newest few stay, and any that is in use', async () => {
  const names = ['1', '2', '3', '4', '5'].map((digit) => digit.repeat(16));
  for (const [age, name] of names.entries()) {
    await mkdir(join(releases, name), { recursive: true });
    await utimes(join(releases, name), 1000 - age, 1000 - age);
  }
  await removeOldReleases(releases, new Set(['5'.repeat(16)]));
  expect((await readdir(releases)).toSorted()).toEqual([...names.slice(0, 3), names[4]]);
});

test('an old release stays while a process runs from it', async () => {
  for (const [age, digit] of ['1', '2', '3', '4'].entries()) {
    const folder = join(releases, digit.repeat(16));
    await mkdir(folder, { recursive: true });
    await copyFile('/bin/sleep', join(folder, 'node'));
    await utimes(folder, 1000 - age, 1000 - age);
  }
  const oldest = join(releases, '4'.repeat(16));
  const child = spawn(join(oldest, 'node'), ['60'], { stdio: 'ignore' });
  await new Promise((resolve) => child.once('spawn', resolve));
  await removeOldReleases(releases, new Set());
  expect(await readdir(releases)).toContain('4'.repeat(16));
  child.kill('SIGKILL');
  await new Promise((resolve) => child.once('close', resolve));
  await removeOldReleases(releases, new Set());
  expect(await readdir(releases)).not.toContain('4'.repeat(16));
});

import { mkdir, mkdtemp, readdir, rm, symlink, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { findTree, isInUse, recipeHash, removeOldTrees, treeHash } from './trees.mjs';

const dayMs = 24 * 3600 * 1000;
const current = 'c'.repeat(16);
const old = '0'.repeat(16);
const nowMs = Date.UTC(2026, 0, 10);

let cache: string;
let proc: string;

beforeEach(async () => {
  cache = await mkdtemp(join(tmpdir(), 'holdfast-trees-'));
  proc = join(cache, 'proc');
  await mkdir(join(proc, '1/ns'), { recursive: true });
  await writeFile(join(proc, '1/mountinfo'), '');
  for (const hash of [current, old]) await mkdir(join(cache, 'trees', hash), { recursive: true });
});

afterEach(() => rm(cache, { recursive: true }));

const trees = async () => (await readdir(join(cache, 'trees'))).toSorted();

async function replaced(hash: string, agoMs: number) {
  const stamp = join(cache, 'trees', `${hash}.replaced`);
  await writeFile(stamp, '');
  const at = new Date(nowMs - agoMs);
  await utimes(stamp, at, at);
}

test('an unused tree goes a day after it was replaced, and its stamp with it', async () => {
  await replaced(old, dayMs + 1);
  expect(await removeOldTrees(cache, current, { nowMs, proc })).toEqual([old]);
  expect(await trees()).toEqual([current]);
  expect(await readdir(cache)).not.toContainEqual(expect.stringMatching(/^work-/));
});

test('a tree replaced today stays: somebody may be about to start from it', async () => {
  expect(await removeOldTrees(cache, current, { nowMs, proc })).toEqual([]);
  expect(await trees()).toEqual([old, `${old}.replaced`, current]);
});

test('a tree that a node has mounted, or a process runs from, stays', async () => {
  await replaced(old, 9 * dayMs);
  const path = join(cache, 'trees', old);
  await writeFile(
    join(proc, '1/mountinfo'),
    `1 0 0:9 / / rw - overlay overlay rw,lowerdir=${path},upperdir=/u`,
  );
  expect(await removeOldTrees(cache, current, { nowMs, proc })).toEqual([]);
  await writeFile(join(proc, '1/mountinfo'), '');
  await symlink(join(path, 'usr/bin/etcd'), join(proc, '1/exe'));
  expect(await removeOldTrees(cache, current, { nowMs, proc })).toEqual([]);
  expect(await trees()).toContain(old);
  await rm(join(proc, '1/exe'));
  expect(await isInUse(path, proc)).toBe(false);
});

test('one that became the current one again counts anew from its next replacement', async () => {
  await replaced(old, 9 * dayMs);
  await removeOldTrees(cache, old, { nowMs, proc });
  expect(await removeOldTrees(cache, current, { nowMs, proc })).toEqual([]);
  expect(await trees()).toContain(old);
});

test('a tree.json that is cut, of another recipe or without its tree names no tree', async () => {
  const json = join(cache, 'tree.json');
  expect(await findTree(cache)).toBeUndefined();
  for (const text of ['{"path": "/', '[]', 'null', '{"path": 1, "recipe": "x"}']) {
    await writeFile(json, text);
    expect(await findTree(cache)).toBeUndefined();
  }
  const tree = { path: join(cache, 'trees', current), hash: current, recipe: recipeHash(), packages: {} };
  await writeFile(json, JSON.stringify(tree));
  expect(await findTree(cache)).toBeUndefined(); // An empty folder is no tree.
});

test('the address of a tree follows every version', () => {
  expect(treeHash({ runc: '1.1' })).toMatch(/^[0-9a-f]{16}$/);
  expect(treeHash({ runc: '1.1' })).toBe(treeHash({ runc: '1.1' }));
  expect(treeHash({ runc: '1.1' })).not.toBe(treeHash({ runc: '1.2' }));
});

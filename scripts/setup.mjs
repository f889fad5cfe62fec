#!/usr/bin/env node
// Makes the tree: Debian packages downloaded and unpacked, not installed, into a folder named by its content.
import { randomBytes } from 'node:crypto';
import { mkdir, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { downloadPackages } from './setup/apt.mjs';
import { completeTree } from './setup/complete.mjs';
import { requireDebian, requireSpace } from './setup/host.mjs';
import { takeLock } from './setup/lock.mjs';
import { SetupError } from './setup/setup-error.mjs';
import { findTree, isInUse, isWhole, recipeHash, removeOldTrees, treeHash } from './setup/trees.mjs';
import { unpackPackages } from './setup/unpack.mjs';

export { findTree } from './setup/trees.mjs';

/**
 * @typedef {import('./setup/trees.mjs').Tree} Tree
 * @typedef {{ phase: string, percent: number, text: string }} At
 */

/**
 * Makes the tree where there is none yet. A tree is never changed once it has its name; an update is
 * another one, and those in use stay.
 * @param {{ cacheDir: string, onProgress?: (at: At) => void, signal?: AbortSignal }} options
 * @returns {Promise<Tree>}
 */
export async function ensureTree({ cacheDir, onProgress = () => undefined, signal }) {
  const there = await findTree(cacheDir);
  if (there) return there;
  const codename = await requireDebian();
  await mkdir(cacheDir, { recursive: true, mode: 0o755 });
  const release = await takeLock(join(cacheDir, 'setup.lock'), {
    signal,
    onWait: () => onProgress({ phase: 'wait', percent: 0, text: 'another set-up is at work' }),
  });
  const work = join(cacheDir, `work-${randomBytes(6).toString('hex')}`);
  try {
    const meanwhile = await findTree(cacheDir);
    if (meanwhile) return meanwhile;
    await removeLeftovers(cacheDir);
    await requireSpace(cacheDir);
    await mkdir(work, { mode: 0o755 });
    return await makeTree({ cacheDir, work, codename, onProgress, signal });
  } finally {
    await rm(work, { recursive: true, force: true });
    await release();
  }
}

/** @param {{ cacheDir: string, work: string, codename: string, onProgress: (at: At) => void, signal: AbortSignal | undefined }} options */
async function makeTree({ cacheDir, work, codename, onProgress, signal }) {
  onProgress({ phase: 'lists', percent: 0, text: 'reading package lists' });
  const files = await downloadPackages({
    folder: join(work, 'apt'),
    codename,
    signal,
    onPercent: (percent, text) =>
      onProgress({ phase: 'download', percent, text: `downloading ${percent.toFixed(0)} %  ${text}` }),
  });
  const versions = Object.fromEntries(files.map(nameAndVersion).toSorted(([a], [b]) => (a < b ? -1 : 1)));
  const hash = treeHash(versions);
  const path = join(cacheDir, 'trees', hash);
  if (!(await isWhole(path))) {
    const draft = join(work, 'tree');
    await mkdir(draft, { mode: 0o755 });
    await unpackPackages({
      files,
      tree: draft,
      signal,
      onDone: (done, of) =>
        onProgress({
          phase: 'unpack',
          percent: (100 * done) / of,
          text: `unpacking ${done} of ${of} packages`,
        }),
    });
    onProgress({ phase: 'complete', percent: 0, text: 'completing the tree' });
    await completeTree(draft, signal);
    await mkdir(join(cacheDir, 'trees'), { recursive: true, mode: 0o755 });
    await moveDamaged(path, join(work, 'damaged'));
    await rename(draft, path);
  }
  /** @type {Tree} */
  const tree = { path, hash, recipe: recipeHash(), packages: versions };
  await writeFile(join(work, 'tree.json'), `${JSON.stringify(tree, undefined, 2)}\n`);
  await rename(join(work, 'tree.json'), join(cacheDir, 'tree.json'));
  await removeOldTrees(cacheDir, hash, { nowMs: Date.now() });
  return tree;
}

/** A tree that somebody thinned out by hand makes room for a whole one, unless something still runs from it. */
async function moveDamaged(/** @type {string} */ path, /** @type {string} */ aside) {
  if (await isInUse(path))
    throw new SetupError(`${path} lacks files and is in use: run \`holdfast down\`, then try again`);
  await rename(path, aside).catch((error) => {
    if (error.code !== 'ENOENT') throw error;
  });
}

/** What a set-up that was killed left behind; the lock is ours, so nobody is at work in it. */
async function removeLeftovers(/** @type {string} */ cacheDir) {
  for (const name of await readdir(cacheDir)) {
    if (/^work-[0-9a-f]{12}$/.test(name)) await rm(join(cacheDir, name), { recursive: true, force: true });
  }
}

/** `etcd-server_3.4.23-4+b4_amd64.deb` -> name and version; apt writes an epoch's colon as %3a. */
function nameAndVersion(/** @type {string} */ file) {
  const [name = '', version = ''] = basename(file).split('_');
  return /** @type {[string, string]} */ ([name, decodeURIComponent(version)]);
}

async function main() {
  const stop = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM'])
    process.on(name, () => stop.abort(new SetupError('interrupted; nothing was left half-made')));
  const terminal = process.stdout.isTTY === true;
  let last = '';
  const onProgress = (/** @type {At} */ { phase, text }) => {
    if (terminal) process.stdout.write(`\r\x1b[2K${text.slice(0, (process.stdout.columns ?? 80) - 1)}`);
    else if (phase !== last) process.stdout.write(`${text}\n`);
    last = phase;
  };
  try {
    const cacheDir = process.env['HOLDFAST_CACHE'] ?? '/var/cache/holdfast';
    const tree = await ensureTree({ cacheDir, onProgress, signal: stop.signal });
    process.stdout.write(
      `${terminal ? '\r\x1b[2K' : ''}${Object.keys(tree.packages).length} packages in ${tree.path}\n`,
    );
  } catch (error) {
    process.stderr.write(
      `${terminal ? '\r\x1b[2K' : ''}${error instanceof SetupError ? error.message : error instanceof Error ? error.stack : String(error)}\n`,
    );
    process.exitCode = 1;
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await main();

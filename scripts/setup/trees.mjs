// The trees that are there: which is the current one, which are in use, which may go.
import { createHash } from 'node:crypto';
import { access, readFile, readdir, readlink, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { leftOut, packages, recipe } from './packages.mjs';

/** @typedef {{ path: string, hash: string, recipe: string, packages: Record<string, string> }} Tree */

/** Without one of these a tree is none: somebody tidied the cache by hand. */
const landmarks = [
  'usr/bin/containerd usr/sbin/runc usr/bin/catatonit usr/bin/etcd usr/bin/ip',
  'usr/bin/ceph-mon usr/bin/ceph-osd usr/bin/ceph-mgr usr/bin/qemu-storage-daemon',
  'usr/lib/cni/ptp usr/lib/cni/host-local etc/passwd etc/ld.so.cache',
].flatMap((names) => names.split(' '));

const exists = (/** @type {string} */ path) =>
  access(path).then(
    () => true,
    () => false,
  );

export const recipeHash = () =>
  createHash('sha256')
    .update(JSON.stringify([recipe, packages, leftOut]))
    .digest('hex')
    .slice(0, 16);

/** @param {Record<string, string>} versions package to version, sorted by name */
export const treeHash = (versions) =>
  createHash('sha256').update(recipeHash()).update(JSON.stringify(versions)).digest('hex').slice(0, 16);

/**
 * The tree that is there already and was made by this very recipe, or undefined.
 * @param {string} cacheDir
 * @returns {Promise<Tree | undefined>}
 */
export async function findTree(cacheDir) {
  const tree = await readTree(cacheDir);
  return tree?.recipe === recipeHash() && (await isWhole(tree.path)) ? tree : undefined;
}

/** Whether all that no tree is without is there. */
export async function isWhole(/** @type {string} */ path) {
  return (await Promise.all(landmarks.map((name) => exists(join(path, name))))).every(Boolean);
}

/**
 * What tree.json says, whichever recipe made it; undefined where there is none that can be read.
 * @param {string} cacheDir
 * @returns {Promise<Tree | undefined>}
 */
async function readTree(cacheDir) {
  const text = await readFile(join(cacheDir, 'tree.json'), 'utf8').catch(() => '');
  try {
    const tree = JSON.parse(text);
    return typeof tree.path === 'string' && typeof tree.recipe === 'string' ? tree : undefined;
  } catch {
    return undefined; // Cut by a full disk, or edited: the tree is made, or found, anew.
  }
}

const keptMs = 24 * 3600 * 1000; // Who read its name a moment ago may be about to start from it.

/**
 * Removes trees that no process and no mount uses and that have not been the current one for a day.
 * @param {string} cacheDir
 * @param {string} current the hash of the tree to keep
 * @param {{ nowMs: number, proc?: string }} options
 * @returns {Promise<string[]>} the hashes removed
 */
export async function removeOldTrees(cacheDir, current, { nowMs, proc = '/proc' }) {
  const folder = join(cacheDir, 'trees');
  const removed = [];
  await rm(join(folder, `${current}.replaced`), { force: true });
  for (const hash of await readdir(folder).catch(() => [])) {
    if (!/^[0-9a-f]{16}$/.test(hash) || hash === current) continue;
    const stamp = join(folder, `${hash}.replaced`);
    const since = await stat(stamp).then(
      ({ mtimeMs }) => mtimeMs,
      () => undefined,
    );
    if (since === undefined) await writeFile(stamp, '');
    if (since === undefined || nowMs - since < keptMs || (await isInUse(join(folder, hash), proc))) continue;
    // Renamed first: a removal that is cut short must not leave half a tree under its name.
    const doomed = join(cacheDir, `work-${hash.slice(0, 12)}`);
    await rename(join(folder, hash), doomed);
    await rm(doomed, { recursive: true, force: true });
    await rm(stamp, { force: true });
    removed.push(hash);
  }
  return removed;
}

/**
 * Whether a process runs from the tree, or a mount stands on it in any mount namespace.
 * @param {string} path
 * @param {string} [proc]
 */
export async function isInUse(path, proc = '/proc') {
  /** @type {Set<string>} */
  const seen = new Set();
  for (const pid of await readdir(proc)) {
    if (!/^\d+$/.test(pid)) continue;
    const program = await readlink(join(proc, pid, 'exe')).catch(() => '');
    if (program.startsWith(`${path}/`)) return true;
    const namespace = await readlink(join(proc, pid, 'ns/mnt')).catch(() => pid);
    if (seen.has(namespace)) continue;
    seen.add(namespace);
    const mounts = await readFile(join(proc, pid, 'mountinfo'), 'utf8').catch(() => '');
    if (mounts.includes(path)) return true;
  }
  return false;
}

// What has to be there before anything of ours runs: node modules, the bundle, the tree. Only node: modules.
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, readFile, readdir, stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = join(dirname(fileURLToPath(import.meta.url)), '..');

/** A failure whose message is all that the person needs: no stack. */
export class PlainError extends Error {}

/** Where trees and downloads are kept, over all clones of this machine. */
export const cacheDir = process.env['HOLDFAST_CACHE'] ?? '/var/cache/holdfast';

const hashOf = (/** @type {(string | Buffer)[]} */ ...parts) => {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part);
  return hash.digest('hex');
};
const readIfThere = (/** @type {string} */ path) => readFile(path, 'utf8').catch(() => '');

/**
 * Runs a program with its output shown only where it fails.
 * @param {string} file
 * @param {readonly string[]} args
 * @param {{ signal?: AbortSignal, onLine?: (line: string) => void }} [options]
 */
export async function runQuietly(file, args, { signal, onLine } = {}) {
  const child = spawn(file, args, {
    cwd: root,
    stdio: ['ignore', 'pipe', 'pipe'],
    ...(signal ? { signal } : {}),
  });
  let output = '';
  const take = (/** @type {Buffer} */ part) => {
    output = (output + part).slice(-64 * 1024);
    const line = part.toString().trim().split('\n').at(-1);
    if (line) onLine?.(line);
  };
  child.stdout.on('data', take);
  child.stderr.on('data', take);
  const code = await new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
  if (code !== 0) {
    // The reason comes first; what follows of npm is its manual.
    const lines = output.trim().split('\n').slice(0, 12).join('\n');
    throw new PlainError(`${file} ${args.join(' ')} ended with ${code}:\n${lines}`);
  }
  return output;
}

/** The oldest Node that we run on; npm's own check comes too late to be read. */
export function requireNode() {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  if (major < 20 || (major === 20 && minor < 20)) {
    throw new PlainError(`Node ${process.versions.node} is too old: Holdfast needs Node 20.20 or later`);
  }
}

/** Root, on Debian 12, with what the kernel must have. */
export async function requireHost() {
  if (process.platform !== 'linux') throw new PlainError('standalone Holdfast needs Linux');
  if (process.getuid?.() !== 0)
    throw new PlainError('standalone Holdfast needs root: run it as root, or with sudo');
  const release = await readIfThere('/etc/os-release');
  if (!/^ID=debian$/m.test(release))
    throw new PlainError('standalone Holdfast needs Debian 12 (this is another system)');
}

/** Runs `npm ci` only where the lockfile's hash changed since the last time. */
export async function ensureModules(/** @type {{ signal?: AbortSignal }} */ options = {}) {
  const stamp = join(root, 'node_modules/.holdfast-lock-hash');
  const wanted = hashOf(await readFile(join(root, 'package-lock.json')), process.versions.modules);
  if ((await readIfThere(stamp)).trim() === wanted) return false;
  // esbuild, koffi and buf bring their binaries inside packages: no install script has to run.
  await runQuietly('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'], options);
  await writeFile(stamp, wanted);
  return true;
}

/** Bundles where a source is newer than the bundle, by a hash over all of them. */
export async function ensureBuild(/** @type {{ signal?: AbortSignal }} */ options = {}) {
  const stamp = join(root, 'dist/.source-hash');
  const wanted = await sourceHash();
  if ((await readIfThere(stamp)).trim() === wanted && existsSync(join(root, 'dist/holdfast.mjs')))
    return false;
  await runQuietly(process.execPath, [join(root, 'scripts/build.mjs')], options);
  await mkdir(dirname(stamp), { recursive: true });
  await writeFile(stamp, wanted);
  return true;
}

async function sourceHash() {
  const hash = createHash('sha256');
  for (const name of ['src', 'deploy', 'examples', 'scripts/build.mjs', 'package-lock.json']) {
    for (const path of await filesBelow(join(root, name))) {
      if (path.endsWith('.test.ts')) continue;
      hash.update(path.slice(root.length)).update(await readFile(path));
    }
  }
  return hash.digest('hex');
}

/** @returns {Promise<string[]>} */
async function filesBelow(/** @type {string} */ path) {
  if (!(await stat(path)).isDirectory()) return [path];
  const names = (await readdir(path)).toSorted();
  const nested = await Promise.all(names.map((name) => filesBelow(join(path, name))));
  return nested.flat();
}

/**
 * What of `up`'s words says where the instance lives, in either form, for the verbs that come after it.
 * @param {readonly string[]} words
 * @returns {readonly string[]}
 */
export function dataDirWords(words) {
  const at = words.findLastIndex((word) => /^--data-dir(?:=|$)/.test(word));
  return at < 0 ? [] : words.slice(at, at + (words[at] === '--data-dir' ? 2 : 1));
}

/** Ends the command with one line where the failure is one that the person can act on. */
export function failWith(/** @type {unknown} */ error) {
  if (error instanceof PlainError || (error instanceof Error && error.name === 'SetupError')) {
    process.stderr.write(`${error.message}\n`);
  } else process.stderr.write(`${error instanceof Error ? error.stack : String(error)}\n`);
  process.exitCode = 1;
}

import { spawn } from 'node:child_process';
import { mkdir, symlink } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { leftOut } from './packages.mjs';

const atOnce = 2; // Both cores of a small machine; more only wait for each other.

/**
 * Unpacks packages over one another into `tree`, whose usr-merge links have to be there first: dpkg-deb -x
 * would replace them by folders.
 * @param {{ files: readonly string[], tree: string, signal: AbortSignal | undefined, onDone: (done: number, of: number) => void }} options
 */
export async function unpackPackages({ files, tree, signal, onDone }) {
  for (const name of ['bin', 'sbin', 'lib', 'lib64']) {
    await mkdir(join(tree, 'usr', name), { recursive: true, mode: 0o755 });
    await symlink(`usr/${name}`, join(tree, name));
  }
  const queue = [...files].toSorted();
  let done = 0;
  const worker = async () => {
    for (let file = queue.shift(); file !== undefined; file = queue.shift()) {
      signal?.throwIfAborted();
      await unpackOne(file, tree);
      onDone(++done, files.length);
    }
  };
  await Promise.all(Array.from({ length: atOnce }, worker));
}

/** dpkg-deb --fsys-tarfile FILE | tar -x, without a shell. */
async function unpackOne(/** @type {string} */ file, /** @type {string} */ tree) {
  const env = { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C' };
  const reader = spawn('dpkg-deb', ['--fsys-tarfile', file], { env, stdio: ['ignore', 'pipe', 'inherit'] });
  const excludes = leftOut.map((pattern) => `--exclude=${pattern}`);
  const args = [
    '-x',
    '-p',
    '-f',
    '-',
    '-C',
    tree,
    '--keep-directory-symlink',
    '--numeric-owner',
    ...excludes,
  ];
  const writer = spawn('tar', args, { env, stdio: [reader.stdout, 'ignore', 'pipe'] });
  reader.stdout.destroy(); // The writer has its own end now; ours would keep the reader from seeing it close.
  let errors = '';
  writer.stderr?.on('data', (part) => (errors += part));
  const ended = (/** @type {import('node:child_process').ChildProcess} */ child) =>
    new Promise((resolve, reject) => {
      child.once('error', reject);
      child.once('exit', resolve);
    });
  const [read, written] = await Promise.all([ended(reader), ended(writer)]);
  if (read !== 0 || written !== 0)
    throw new Error(`${basename(file)} could not be unpacked: ${errors.trim().slice(-500)}`);
}

import { spawn } from 'node:child_process';
import { mkdir, symlink } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { leftOut } from './packages.mjs';
import { ended, toolEnvironment } from './run-tool.mjs';
import { SetupError } from './setup-error.mjs';

const atOnce = 2; // Both cores of a small machine; more only wait for each other.
const timeoutMs = 300_000;

/**
 * Unpacks packages over one another into `tree`, whose usr-merge links have to be there first: dpkg-deb -x
 * would replace them by folders. No unpacking goes on once this has settled.
 * @param {{ files: readonly string[], tree: string, signal: AbortSignal | undefined, onDone: (done: number, of: number) => void }} options
 */
export async function unpackPackages({ files, tree, signal, onDone }) {
  for (const name of ['bin', 'sbin', 'lib', 'lib64']) {
    await mkdir(join(tree, 'usr', name), { recursive: true, mode: 0o755 });
    await symlink(`usr/${name}`, join(tree, name));
  }
  const queue = [...files].toSorted();
  let done = 0;
  let failed = false;
  const worker = async () => {
    for (let file = queue.shift(); file !== undefined && !failed; file = queue.shift()) {
      signal?.throwIfAborted();
      try {
        await unpackOne(file, tree, signal);
      } catch (error) {
        failed = true;
        throw error;
      }
      onDone(++done, files.length);
    }
  };
  const ends = await Promise.allSettled(Array.from({ length: atOnce }, worker));
  for (const end of ends) if (end.status === 'rejected') throw end.reason;
}

/**
 * dpkg-deb --fsys-tarfile FILE | tar -x, without a shell.
 * @param {string} file
 * @param {string} tree
 * @param {AbortSignal | undefined} signal
 */
async function unpackOne(file, tree, signal) {
  const env = toolEnvironment;
  const reader = spawn('dpkg-deb', ['--fsys-tarfile', file], { env, stdio: ['ignore', 'pipe', 'pipe'] });
  const args = ['-x', '-p', '-f', '-', '-C', tree, '--keep-directory-symlink', '--numeric-owner'];
  const excludes = leftOut.map((pattern) => `--exclude=${pattern}`);
  const writer = spawn('tar', [...args, ...excludes], { env, stdio: [reader.stdout, 'ignore', 'pipe'] });
  reader.stdout.destroy(); // The writer has its own end now; ours would keep the reader from seeing it close.
  let errors = '';
  for (const stream of [reader.stderr, writer.stderr])
    stream?.on('data', (part) => (errors = (errors + part).slice(-4096)));
  const [read, written] = await Promise.all([
    ended(reader, { signal, timeoutMs }),
    ended(writer, { signal, timeoutMs }),
  ]);
  signal?.throwIfAborted();
  if (read === 0 && written === 0) return;
  const why = errors.trim().split('\n')[0] ?? '';
  throw new SetupError(`${basename(file)} could not be unpacked: ${why.slice(0, 300)}`);
}

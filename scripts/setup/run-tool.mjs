import { spawn } from 'node:child_process';
import { SetupError } from './setup-error.mjs';

const path = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/**
 * Runs one program of the host's without a shell and gives its stdout.
 * @param {string} file
 * @param {readonly string[]} args
 * @param {{ signal?: AbortSignal | undefined, env?: Record<string, string>, onStatus?: (line: string) => void }} [options]
 *   onStatus gets the lines that the program writes to its descriptor 3
 * @returns {Promise<string>}
 */
export async function runTool(file, args, { signal, env = {}, onStatus } = {}) {
  const child = spawn(file, args, {
    env: { PATH: path, LC_ALL: 'C', DEBIAN_FRONTEND: 'noninteractive', ...env },
    stdio: ['ignore', 'pipe', 'pipe', onStatus ? 'pipe' : 'ignore'],
    ...(signal ? { signal, killSignal: 'SIGTERM' } : {}),
  });
  let out = '';
  let err = '';
  child.stdout?.on('data', (part) => (out += part));
  child.stderr?.on('data', (part) => (err = (err + part).slice(-8192)));
  let rest = '';
  child.stdio[3]?.on('data', (/** @type {Buffer} */ part) => {
    const lines = (rest + part).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) onStatus?.(line);
  });
  const code = await new Promise((resolve, reject) => {
    child.once('error', (error) =>
      reject(
        /** @type {NodeJS.ErrnoException} */ (error).code === 'ENOENT'
          ? new SetupError(`${file} is missing on this machine; Debian 12 has it`, { cause: error })
          : error,
      ),
    );
    child.once('close', resolve);
  });
  signal?.throwIfAborted();
  if (code !== 0) throw new Error(`${file} ${args[0] ?? ''} ended with ${code}: ${err.trim().slice(-2000)}`);
  return out;
}

import { spawn } from 'node:child_process';
import { SetupError } from './setup-error.mjs';

const path = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
export const toolEnvironment = { PATH: path, LC_ALL: 'C', DEBIAN_FRONTEND: 'noninteractive' };

const keptBytes = 16 * 1024 * 1024;

/**
 * Runs one program of the host's without a shell and gives its stdout. It has ended when this settles, also
 * after an abort: nothing writes into a folder that is then removed.
 * @param {string} file
 * @param {readonly string[]} args
 * @param {{ signal?: AbortSignal | undefined, timeoutMs?: number, env?: Record<string, string>,
 *   onStatus?: (line: string) => void }} [options] onStatus gets the lines that the program writes to its
 *   descriptor 3; a program is killed after timeoutMs, 10 minutes where not said
 * @returns {Promise<string>}
 */
export async function runTool(file, args, { signal, timeoutMs = 600_000, env = {}, onStatus } = {}) {
  signal?.throwIfAborted();
  const child = spawn(file, args, {
    env: { ...toolEnvironment, ...env },
    stdio: ['ignore', 'pipe', 'pipe', onStatus ? 'pipe' : 'ignore'],
  });
  let out = '';
  let err = '';
  child.stdout?.on('data', (part) => {
    if (out.length < keptBytes) out += part;
  });
  child.stderr?.on('data', (part) => (err = (err + part).slice(-8192)));
  let rest = '';
  child.stdio[3]?.on('data', (/** @type {Buffer} */ part) => {
    const lines = (rest + part).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) onStatus?.(line);
  });
  const end = await ended(child, { signal, timeoutMs });
  signal?.throwIfAborted();
  if (end === 'missing') throw new SetupError(`${file} is missing on this machine; Debian 12 has it`);
  if (end === 'late') throw new Error(`${file} ${args[0] ?? ''} took longer than ${timeoutMs / 1000} s`);
  if (end !== 0) throw new Error(`${file} ${args[0] ?? ''} ended with ${end}: ${err.trim().slice(-2000)}`);
  return out;
}

/**
 * Waits until a program is gone; kills it when the signal aborts or the time is over.
 * @param {import('node:child_process').ChildProcess} child
 * @param {{ signal?: AbortSignal | undefined, timeoutMs: number }} options
 * @returns {Promise<number | string>} its exit code, the signal that ended it, 'late' or 'missing'
 */
export function ended(child, { signal, timeoutMs }) {
  return new Promise((resolve, reject) => {
    let late = false;
    const kill = () => void child.kill('SIGKILL');
    const timer = setTimeout(() => {
      late = true;
      kill();
    }, timeoutMs);
    signal?.addEventListener('abort', kill, { once: true });
    const settle = () => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', kill);
    };
    child.once('error', (error) => {
      settle();
      if (/** @type {NodeJS.ErrnoException} */ (error).code === 'ENOENT') resolve('missing');
      else reject(error);
    });
    child.once('close', (code, killedBy) => {
      settle();
      resolve(late ? 'late' : (code ?? killedBy ?? 'nothing'));
    });
  });
}

// Whether any of apt's sources answers, before apt itself is asked: it would wait and try again for half a minute.
import { join } from 'node:path';
import { runTool } from './run-tool.mjs';
import { SetupError } from './setup-error.mjs';

const answerMs = 4000;

/**
 * Asks each source for one small file, with apt's own transports, so that proxies and mirrors are those that
 * the download will use. Whatever is answered, be it a 404, is an answer.
 * @param {readonly string[]} sources lines of sources.list
 * @param {{ folder: string, env: Record<string, string>, signal: AbortSignal | undefined, timeoutMs?: number }} options
 */
export async function requireAnswer(sources, { folder, env, signal, timeoutMs = answerMs }) {
  const files = [...new Set(sources.map(signatureOf))];
  const silent = await Promise.all(
    files.map(async (uri, index) => {
      const args = ['-o', 'Acquire::Retries=0', 'download-file', uri, join(folder, `answer-${index}`)];
      try {
        await runTool('/usr/lib/apt/apt-helper', args, { signal, env, timeoutMs });
        return undefined;
      } catch (error) {
        signal?.throwIfAborted();
        return whySilent(error instanceof Error ? error.message : String(error));
      }
    }),
  );
  const [first] = silent;
  if (first === undefined || silent.includes(undefined)) return;
  throw new SetupError(`Debian's packages could not be downloaded (is there a network?): ${first}`);
}

/** The smallest file that every suite of a mirror has. */
function signatureOf(/** @type {string} */ source) {
  const [uri = '', suite = ''] = source.replace(/^deb (\[[^\]]*\] )?/, '').split(' ');
  return `${uri.replace(/\/$/, '')}/dists/${suite}/Release.gpg`;
}

/**
 * Why nobody answered, out of apt's many lines; undefined where somebody did.
 * @param {string} message what a failed try said
 */
export function whySilent(message) {
  if (/took longer than/.test(message)) return 'no mirror answered in time';
  const line = message.split('\n').find((one) => /E: Failed to fetch/.test(one)) ?? '';
  const silent =
    /resolv|Could not connect|Cannot initiate the connection|Unable to connect|unreachable|refused/i;
  return silent.test(line) ? line.replace(/^.*E: Failed to fetch/, 'Failed to fetch') : undefined;
}

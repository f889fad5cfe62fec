// `npm start`: prepares what is missing, builds, brings standalone Holdfast up and runs the main job.
// Words after `--` go to `holdfast up`: npm start -- --disks 4 --data-dir /srv/holdfast
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import {
  cacheDir,
  dataDirWords,
  ensureBuild,
  ensureModules,
  failWith,
  requireHost,
  requireNode,
  root,
} from './prepare.mjs';

const terminal = process.stdout.isTTY === true;
const plainEveryMs = 2000; // A log that nobody watches needs no line for every package.
const stop = new AbortController();
/** @type {{ title: string, ms: number }[]} */
const phases = [];

/**
 * @template T
 * @param {string} title
 * @param {(detail: (text: string) => void) => Promise<T>} body
 */
async function phase(title, body) {
  const startedMs = Date.now();
  const seconds = () => `${((Date.now() - startedMs) / 1000).toFixed(1)} s`;
  const width = process.stdout.columns ?? 100;
  let last = '';
  let printedMs = 0;
  const show = (/** @type {string} */ text) => {
    last = text;
    const line = `${title}  ${seconds()}  ${text}`;
    if (terminal) process.stdout.write(`\r\x1b[2K… ${line.slice(0, width - 3)}`);
    else if (Date.now() - printedMs >= plainEveryMs) {
      printedMs = Date.now();
      process.stdout.write(`     ${line}\n`);
    }
  };
  if (terminal) show('');
  try {
    const detail = (/** @type {string} */ text) => {
      if (text !== last) show(text);
    };
    const result = await body(detail);
    phases.push({ title, ms: Date.now() - startedMs });
    const line = `${title}  ${seconds()}${typeof result === 'string' ? `  ${result}` : ''}`;
    process.stdout.write(terminal ? `\r\x1b[2K✓ ${line}\n` : `ok   ${line}\n`);
    return result;
  } catch (error) {
    process.stdout.write(terminal ? `\r\x1b[2K✗ ${title}  ${seconds()}\n` : `FAIL ${title}  ${seconds()}\n`);
    throw error;
  }
}

/** The verbs print their own steps. A Ctrl-C reaches them too; we wait for how they end. */
async function holdfast(/** @type {readonly string[]} */ args) {
  const child = spawn(process.execPath, [join(root, 'dist/holdfast.mjs'), ...args], { stdio: 'inherit' });
  const code = await new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (status, killedBy) => resolve(killedBy ? 130 : status));
  });
  if (code !== 0) process.exit(Number(code));
}

// Whoever read our lines has gone, as with `| head`; the work goes on, as that of the verbs does.
process.stdout.on('error', (/** @type {NodeJS.ErrnoException} */ error) => {
  if (error.code !== 'EPIPE') throw error;
});
process.on('SIGINT', () => stop.abort());
process.on('SIGTERM', () => stop.abort());

try {
  requireNode();
  await requireHost();
  const { signal } = stop;
  await phase('Modules', async () => ((await ensureModules({ signal })) ? 'installed' : 'as locked'));
  await phase('Build', async () => ((await ensureBuild({ signal })) ? 'built' : 'up to date'));
  await phase('Packages', async (detail) => {
    const { ensureTree } = await import('./setup.mjs');
    const tree = await ensureTree({
      cacheDir,
      signal,
      onProgress: (/** @type {{ text: string }} */ at) => detail(at.text),
    });
    return `${Object.keys(tree.packages).length} packages in ${tree.path}`;
  });
  const words = process.argv.slice(2);
  const upMs = Date.now();
  await holdfast(['up', ...words]);
  phases.push({ title: 'Up', ms: Date.now() - upMs });
  const before = phases.map(({ title, ms }) => `${title}=${ms}`).join(',');
  await holdfast(['demo', '--before', before, ...dataDirWords(words)]);
} catch (error) {
  if (stop.signal.aborted) {
    process.stderr.write('interrupted; run npm start again to go on\n');
    process.exitCode = 130;
  } else failWith(error);
}

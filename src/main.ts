import { setMaxListeners } from 'node:events';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Command, CommanderError } from 'commander';
import { claimsDir, defaultDataDir, type CliContext } from './cli/context.ts';
import { addVerbs } from './cli/verbs.ts';
import { systemClock } from './lib/clock.ts';
import { isDeadlineError } from './lib/deadline.ts';
import { processInterruption } from './lib/interruption.ts';
import { addRoles } from './roles/roles.ts';
import type { RoleSettings } from './roles/role-process.ts';
import { bundleFolder } from './standalone/release.ts';

// The one place that reads argv and the environment: verbs and roles get what it read.

setMaxListeners(0); // One signal ends everything; hundreds of calls listen to it at once.

const { env } = process;
const dist = await bundleFolder(import.meta.url);
const cacheDir = env['HOLDFAST_CACHE'] || '/var/cache/holdfast';
const interruption = processInterruption();

async function version(): Promise<string> {
  const text = await readFile(join(dist, 'version.json'), 'utf8').catch(() => '{}');
  return (JSON.parse(text) as { version?: string }).version ?? 'unknown';
}

const context: CliContext = {
  dataDir: env['HOLDFAST_DATA_DIR'] || defaultDataDir,
  cacheDir,
  claimsDir,
  dist,
  node: process.execPath,
  env,
  screen: {
    write: (text) => void process.stdout.write(text),
    isTerminal: process.stdout.isTTY === true,
    // Asked each time: a window is made narrower meanwhile, and some terminals say 0.
    get width() {
      return process.stdout.columns || 100;
    },
  },
  clock: systemClock,
  signal: interruption.signal,
};

const settings: RoleSettings = {
  dist,
  bundle: join(dist, 'holdfast.mjs'),
  cacheDir,
  logLevel: env['HOLDFAST_LOG_LEVEL'] ?? 'info',
  pod: { name: env['POD_NAME'], namespace: env['POD_NAMESPACE'] },
  apiServer: {
    host: env['KUBERNETES_SERVICE_HOST'] ?? '',
    port: env['KUBERNETES_SERVICE_PORT'] ?? '443',
  },
  images: {
    holdfast: env['HOLDFAST_IMAGE'] ?? 'holdfast:latest',
    ceph: env['HOLDFAST_CEPH_IMAGE'] ?? 'quay.io/ceph/ceph:v16.2.15',
  },
  version,
};

const program = new Command('holdfast')
  .description('Storage for Kubernetes that deploys, heals and explains itself')
  .version(`holdfast ${await version()} (node ${process.version})`, '-V, --version', 'print the version')
  .showHelpAfterError('(holdfast --help shows what there is)')
  .enablePositionalOptions()
  .exitOverride();
let whenInterrupted = '';
let finishesUnread = false;
addVerbs(program, {
  context,
  version,
  exitWith: (code) => void (process.exitCode = code),
  listen(told) {
    whenInterrupted = told;
    interruption.listen();
  },
  finishUnread: () => void (finishesUnread = true),
});
addRoles(program, { settings, interruption });

/** Ends with one line for what a person can mend, with a stack for what is our mistake. */
function fail(error: unknown): void {
  if (error instanceof CommanderError) {
    process.exitCode = error.exitCode;
    return;
  }
  if (interruption.signal.aborted) {
    if (whenInterrupted) process.stderr.write(`interrupted; ${whenInterrupted}\n`);
    process.exitCode = 130;
    return;
  }
  const messages: string[] = [];
  for (let at: unknown = error; at instanceof Error && messages.length < 5; at = at.cause)
    // What ran out of time says so itself; that it did is no reason.
    if (at === error || !isDeadlineError(at)) messages.push(at.message);
  process.stderr.write(`holdfast: ${messages.join('\n  because: ') || String(error)}\n`);
  if (env['HOLDFAST_DEBUG'] && error instanceof Error) process.stderr.write(`${error.stack}\n`);
  process.exitCode = 1;
}

// Whoever read our output has gone, as with `| head`. What only looks ends as by SIGPIPE, without a stack.
for (const stream of [process.stdout, process.stderr])
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
    if (!finishesUnread) process.exit(141);
  });

try {
  await program.parseAsync();
} catch (error) {
  fail(error);
}

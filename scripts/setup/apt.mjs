// A private apt: its own status (empty), lists, cache and sources. The host's package state is never read or changed.
import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { packages } from './packages.mjs';
import { requireAnswer } from './reach.mjs';
import { runTool } from './run-tool.mjs';
import { SetupError } from './setup-error.mjs';
import { readSources, readTransport } from './sources.mjs';

const downloadTries = 3;
const waitMs = 2000;

/**
 * Downloads the packages with all that they depend on into `folder` and answers the files. What was fetched
 * stays between tries, and apt checks each file against its signed list.
 * @param {{ folder: string, codename: string, signal: AbortSignal | undefined, onPercent: (percent: number, text: string) => void }} options
 * @returns {Promise<string[]>}
 */
export async function downloadPackages({ folder, codename, signal, onPercent }) {
  const sources = await readSources(codename, signal);
  const env = { APT_CONFIG: await writeConfig(folder, sources, signal) };
  await requireAnswer(sources, { folder, env, signal });
  for (let attempt = 1; ; attempt++) {
    try {
      const update = ['update', '-q', '-o', 'APT::Update::Error-Mode=any'];
      await runTool('apt-get', [...update, '-o', 'Acquire::Retries=1'], { signal, env });
      const install = ['install', '--download-only', '--no-install-recommends', '-y', '-q'];
      await runTool('apt-get', [...install, '-o', 'APT::Status-Fd=3', ...packages], {
        signal,
        env,
        timeoutMs: 3_600_000, // A slow line is no failure while bytes come; apt itself gives up on a silent one.
        onStatus(line) {
          const [kind, , percent, text] = line.split(':');
          if (kind === 'dlstatus') onPercent(Number(percent), text ?? '');
        },
      });
      break;
    } catch (cause) {
      signal?.throwIfAborted();
      if (cause instanceof SetupError) throw cause;
      if (attempt >= downloadTries) throw new SetupError(explain(cause), { cause });
      onPercent(0, `failed, trying again (${attempt + 1} of ${downloadTries})`);
      await sleep(waitMs * attempt, undefined, signal ? { signal } : {}).catch(() =>
        signal?.throwIfAborted(),
      );
    }
  }
  const archives = join(folder, 'cache/archives');
  const names = await readdir(archives);
  return names.filter((name) => name.endsWith('.deb')).map((name) => join(archives, name));
}

/** One line out of apt's many. */
function explain(/** @type {unknown} */ cause) {
  const message = cause instanceof Error ? cause.message : String(cause);
  const why = message.split('\n').find((line) => /^[EW]:/.test(line)) ?? message.split('\n')[0] ?? '';
  const unresolved = /Unable to locate package|unmet dependencies|no installation candidate/.test(message);
  const hint = unresolved ? "are Debian's own sources complete?" : 'is there a network?';
  return `Debian's packages could not be downloaded (${hint}): ${why.slice(0, 300)}`;
}

/**
 * @param {string} folder
 * @param {readonly string[]} sources
 * @param {AbortSignal | undefined} signal
 */
async function writeConfig(folder, sources, signal) {
  for (const name of ['lists/partial', 'cache/archives/partial', 'log'])
    await mkdir(join(folder, name), { recursive: true });
  await writeFile(join(folder, 'status'), '');
  await writeFile(join(folder, 'sources.list'), `${sources.join('\n')}\n`);
  const config = join(folder, 'apt.conf');
  const quoted = (/** @type {string} */ key, /** @type {string} */ value) => `${key} "${value}";`;
  const text = [
    quoted('Dir::State', folder),
    quoted('Dir::State::status', join(folder, 'status')),
    quoted('Dir::State::lists', join(folder, 'lists')),
    quoted('Dir::Cache', join(folder, 'cache')),
    quoted('Dir::Log', join(folder, 'log')),
    quoted('Dir::Etc::sourcelist', join(folder, 'sources.list')),
    ...['sourceparts', 'preferences', 'preferencesparts', 'parts', 'main'].map((name) =>
      quoted(`Dir::Etc::${name}`, '/dev/null'),
    ),
    quoted('APT::Install-Recommends', 'false'),
    quoted('APT::Install-Suggests', 'false'),
    quoted('APT::Sandbox::User', 'root'),
    quoted('APT::Keep-Downloaded-Packages', 'true'),
    quoted('Acquire::Languages', 'none'),
    quoted('Acquire::Retries', '3'),
    quoted('Debug::NoLocking', 'true'),
    ...(await readTransport(signal)),
  ];
  await writeFile(config, `${text.join('\n')}\n`);
  return config;
}

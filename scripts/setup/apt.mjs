// A private apt: its own status (empty), lists, cache and sources. The host's package state is never read or changed.
import { mkdir, readFile, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { packages } from './packages.mjs';
import { runTool } from './run-tool.mjs';
import { SetupError } from './setup-error.mjs';

/** @typedef {{ uri: string, suite: string, signedBy: string | undefined }} Source */

const downloadTries = 3;

/**
 * Debian's own suites among the host's apt sources, in either of their two formats.
 * @param {string} codename
 * @returns {Promise<Source[]>}
 */
export async function debianSources(codename, etc = '/etc/apt') {
  const files = [join(etc, 'sources.list')];
  for (const name of await readdir(join(etc, 'sources.list.d')).catch(() => []))
    files.push(join(etc, 'sources.list.d', name));
  /** @type {Source[]} */
  const found = [];
  for (const file of files) {
    const text = await readFile(file, 'utf8').catch(() => '');
    found.push(...(file.endsWith('.sources') ? parseStanzas(text) : parseLines(text)));
  }
  const suites = [codename, `${codename}-updates`, `${codename}-security`, `${codename}/updates`];
  return found.filter((source) => suites.includes(source.suite));
}

/** @returns {Source[]} */
function parseLines(/** @type {string} */ text) {
  return text.split('\n').flatMap((line) => {
    const match = /^deb\s+(?:\[([^\]]*)\]\s+)?(\S+)\s+(\S+)\s+(.*\bmain\b.*)$/.exec(line.trim());
    if (!match) return [];
    const signedBy = /signed-by=(\S+)/i.exec(match[1] ?? '')?.[1];
    return [{ uri: match[2] ?? '', suite: match[3] ?? '', signedBy }];
  });
}

/** @returns {Source[]} */
function parseStanzas(/** @type {string} */ text) {
  const lines = text.split('\n').filter((line) => !line.startsWith('#'));
  return lines
    .join('\n')
    .split(/\n\s*\n|\n(?=Types:)/)
    .flatMap((stanza) => {
      const field = (/** @type {string} */ name) =>
        new RegExp(`^${name}:\\s*(.+)$`, 'im').exec(stanza)?.[1]?.trim().split(/\s+/) ?? [];
      if (!field('Types').includes('deb') || !field('Components').includes('main')) return [];
      if (field('Enabled')[0]?.toLowerCase() === 'no') return [];
      const [signedBy] = field('Signed-By');
      return field('URIs').flatMap((uri) => field('Suites').map((suite) => ({ uri, suite, signedBy })));
    });
}

/**
 * Downloads the packages with all that they depend on into `folder` and answers the files.
 * @param {{ folder: string, codename: string, signal: AbortSignal | undefined, onPercent: (percent: number, text: string) => void }} options
 * @returns {Promise<string[]>}
 */
export async function downloadPackages({ folder, codename, signal, onPercent }) {
  const config = await writeConfig(folder, codename);
  const env = { APT_CONFIG: config };
  for (let attempt = 1; ; attempt++) {
    try {
      await runTool('apt-get', ['update', '-q', '-o', 'APT::Update::Error-Mode=any'], { signal, env });
      const args = [
        'install',
        '--download-only',
        '--no-install-recommends',
        '-y',
        '-q',
        '-o',
        'APT::Status-Fd=3',
      ];
      await runTool('apt-get', [...args, ...packages], {
        signal,
        env,
        onStatus(line) {
          const [kind, , percent, text] = line.split(':');
          if (kind === 'dlstatus') onPercent(Number(percent), text ?? '');
        },
      });
      break;
    } catch (cause) {
      signal?.throwIfAborted();
      if (cause instanceof SetupError) throw cause;
      if (attempt === downloadTries) {
        const why =
          cause instanceof Error
            ? (cause.message.split('\n').find((line) => /^[EW]:/.test(line)) ?? cause.message)
            : '';
        throw new SetupError(
          `Debian's packages could not be downloaded (is there a network?): ${why.slice(0, 300)}`,
          { cause },
        );
      }
    }
  }
  const archives = join(folder, 'cache/archives');
  return (await readdir(archives))
    .filter((name) => name.endsWith('.deb'))
    .map((name) => join(archives, name));
}

async function writeConfig(/** @type {string} */ folder, /** @type {string} */ codename) {
  const sources = await debianSources(codename);
  if (!sources.some((source) => source.suite === codename)) {
    throw new SetupError(
      `no apt source of Debian's suite ${codename} is set up in /etc/apt: add Debian's own, then try again`,
    );
  }
  for (const name of ['lists/partial', 'cache/archives/partial', 'log'])
    await mkdir(join(folder, name), { recursive: true });
  await writeFile(join(folder, 'status'), '');
  const lines = sources.map(
    ({ uri, suite, signedBy }) => `deb ${signedBy ? `[signed-by=${signedBy}] ` : ''}${uri} ${suite} main`,
  );
  await writeFile(join(folder, 'sources.list'), `${[...new Set(lines)].join('\n')}\n`);
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
    ...(await hostTransport()),
  ];
  await writeFile(config, `${text.join('\n')}\n`);
  return config;
}

/** How the host reaches its mirrors: proxies and certificates, which a private apt would not know. */
async function hostTransport() {
  const dump = await runTool('apt-config', ['dump']);
  return dump
    .split('\n')
    .filter((line) => /^Acquire::(https?|ftp)::(Proxy|CaInfo|Verify)/i.test(line) && !line.endsWith(' "";'));
}

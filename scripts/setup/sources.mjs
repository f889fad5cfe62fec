// Which mirrors the packages come from: the host's own, and of those only Debian's suites.
import { access } from 'node:fs/promises';
import { runTool } from './run-tool.mjs';
import { SetupError } from './setup-error.mjs';

const keyring = '/usr/share/keyrings/debian-archive-keyring.gpg';
/** apt leaves what it does not know empty, or as it stood in the format. */
const unknown = (/** @type {string} */ value) => value === '' || value.startsWith('$(');

/**
 * Lines for the private apt's sources.list.
 * @param {string} codename
 * @param {AbortSignal | undefined} signal
 * @returns {Promise<string[]>}
 */
export async function readSources(codename, signal) {
  // apt itself reads the host's sources, in whichever of their formats they are.
  const format = '$(REPO_URI)|$(RELEASE)|$(COMPONENT)|$(ORIGIN)|$(CODENAME)';
  const targets = await runTool('apt-get', ['indextargets', '--format', format, 'Created-By: Packages'], {
    signal,
    timeoutMs: 60_000,
  }).catch((cause) => {
    signal?.throwIfAborted();
    const why = /^E: .*/m.exec(cause.message)?.[0] ?? cause.message;
    throw new SetupError(`apt cannot read the sources in /etc/apt, mend them first: ${why}`, { cause });
  });
  const chosen = chooseTargets(targets, codename);
  if (!chosen.some(({ suite }) => suite === codename)) {
    throw new SetupError(
      `no apt source of Debian's suite ${codename} is set up in /etc/apt: add Debian's own, then try again`,
    );
  }
  // Debian's keyring and no other: a third party's suite of the same name cannot slip in.
  const options = await access(keyring).then(
    () => `[signed-by=${keyring}] `,
    () => '',
  );
  return chosen.map(({ uri, suite }) => `deb ${options}${uri} ${suite} main`);
}

/**
 * Debian's own among apt's index targets: the release, its updates, its security fixes.
 * @param {string} text lines of URI|release|component|origin|codename
 * @param {string} codename
 * @returns {{ uri: string, suite: string }[]}
 */
export function chooseTargets(text, codename) {
  const suites = [codename, `${codename}-updates`, `${codename}-security`];
  /** @type {Map<string, { uri: string, suite: string }>} */
  const chosen = new Map();
  for (const line of text.split('\n')) {
    const [uri = '', release = '', component = '', origin = '', named = ''] = line.split('|');
    // 'stable' is written out, so that a tree cannot change its release by itself.
    const suite = suites.includes(release) ? release : named;
    if (uri === '' || /[\s[\]]/.test(uri) || component !== 'main' || !suites.includes(suite)) continue;
    // Unknown until the host's own lists were fetched once; then the keyring decides.
    if (!unknown(origin) && origin !== 'Debian') continue;
    chosen.set(`${uri} ${suite}`, { uri, suite });
  }
  return [...chosen.values()];
}

/** How the host reaches its mirrors: proxies, certificates, checks of dates. A private apt would not know. */
export async function readTransport(/** @type {AbortSignal | undefined} */ signal) {
  return transportSettings(await runTool('apt-config', ['dump'], { signal, timeoutMs: 60_000 }));
}

/**
 * @param {string} dump what `apt-config dump` prints
 * @returns {string[]} lines of apt.conf
 */
export function transportSettings(dump) {
  return dump
    .split('\n')
    .filter((line) =>
      /^Acquire::((https?|ftp|socks|mirror)::|Check-|Max-|ForceIPv|Queue-Mode|AllowReleaseInfo)/i.test(line),
    )
    .filter((line) => !line.endsWith(' "";'));
}

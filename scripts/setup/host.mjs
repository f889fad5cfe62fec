import { access, constants, readFile, statfs } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { SetupError } from './setup-error.mjs';

const needed = ['apt-get', 'apt-config', 'dpkg-deb', 'tar', 'chroot'];
const binFolders = ['/usr/local/sbin', '/usr/local/bin', '/usr/sbin', '/usr/bin', '/sbin', '/bin'];
const neededBytes = 2 * 1024 ** 3; // Lists, downloads and the tree, all at once.

/**
 * Refuses in one line a machine that no tree can be made on; answers the release's name otherwise.
 * @param {{ uid: number | undefined, osRelease: string }} [seen] this machine's own where not given
 * @returns {Promise<string>} `bookworm`
 */
export async function requireDebian(seen) {
  const uid = seen ? seen.uid : process.getuid?.();
  const release = seen?.osRelease ?? (await readFile('/etc/os-release', 'utf8').catch(() => ''));
  const field = (/** @type {string} */ name) =>
    new RegExp(`^${name}="?([^"\n]*)`, 'm').exec(release)?.[1] ?? '';
  if (field('ID') !== 'debian' || field('VERSION_ID') !== '12' || field('VERSION_CODENAME') === '') {
    throw new SetupError(
      `standalone Holdfast needs Debian 12, and this is ${field('PRETTY_NAME') || 'another system'}`,
    );
  }
  if (uid !== 0) throw new SetupError('the set-up needs root: run it as root, or with sudo');
  if (process.arch !== 'x64')
    throw new SetupError(`the set-up needs an amd64 machine, and this one is ${process.arch}`);
  for (const tool of needed) {
    const found = await Promise.all(binFolders.map((folder) => canRun(join(folder, tool))));
    if (!found.includes(true))
      throw new SetupError(`${tool} is missing on this machine; every Debian 12 has it`);
  }
  return field('VERSION_CODENAME');
}

const canRun = (/** @type {string} */ path) =>
  access(path, constants.X_OK).then(
    () => true,
    () => false,
  );

/** Refuses a cache that is too full before anything is downloaded. */
export async function requireSpace(/** @type {string} */ cacheDir) {
  const { bavail, bsize } = await statfs(cacheDir).catch(() => statfs(dirname(cacheDir)));
  const free = bavail * bsize;
  if (free >= neededBytes) return;
  const mib = (/** @type {number} */ bytes) => Math.floor(bytes / 1024 ** 2);
  throw new SetupError(
    `${cacheDir} has ${mib(free)} MiB left and the set-up needs ${mib(neededBytes)}: free some, or set HOLDFAST_CACHE`,
  );
}

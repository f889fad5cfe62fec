import { createHash } from 'node:crypto';
import { chmod, copyFile, cp, mkdir, readFile, readdir, rename, rm, stat } from 'node:fs/promises';
import { constants } from 'node:fs';
import { join } from 'node:path';
import { randomBytes } from 'node:crypto';
import { pathExists } from '../../lib/path-exists.ts';

const kept = 3; // The one in use, the one before for a way back, and one that a pod may still end with.

/**
 * Copies a built bundle and Node's binary into `<releases>/<hash of both>`, where supervisor, node and pods
 * run from: a rebuild is another folder, and never changes what runs. Answers the hash.
 */
export async function installRelease(dist: string, node: string, releases: string): Promise<string> {
  const hash = await hashOf(dist, node);
  const target = join(releases, hash);
  if (await pathExists(target)) return hash;
  await mkdir(releases, { recursive: true, mode: 0o755 });
  const draft = join(releases, `.draft-${randomBytes(6).toString('hex')}`);
  try {
    await cp(dist, draft, { recursive: true, mode: constants.COPYFILE_FICLONE });
    await copyFile(node, join(draft, 'node'), constants.COPYFILE_FICLONE);
    await chmod(join(draft, 'node'), 0o755);
    await rename(draft, target);
  } finally {
    await rm(draft, { recursive: true, force: true });
  }
  return hash;
}

/** Removes releases that nothing runs from any more, but for the newest few: pods may be of an older one. */
export async function removeOldReleases(releases: string, inUse: ReadonlySet<string>): Promise<void> {
  const names = (await readdir(releases)).filter((name) => /^[0-9a-f]{16}$/.test(name));
  const ages = await Promise.all(
    names.map(async (name) => ({ name, ms: (await stat(join(releases, name))).mtimeMs })),
  );
  const old = ages.toSorted((a, b) => b.ms - a.ms).slice(kept);
  if (old.length === 0) return;
  const programs = await runningPrograms();
  for (const { name } of old) {
    const program = await stat(join(releases, name, 'node')).catch(() => undefined);
    const isRunning = program !== undefined && programs.has(`${program.dev}:${program.ino}`);
    if (!inUse.has(name) && !isRunning) await rm(join(releases, name), { recursive: true, force: true });
  }
}

/** Device and inode of every running program: a container's path says nothing, the file behind it does. */
async function runningPrograms(): Promise<Set<string>> {
  const found = new Set<string>();
  for (const pid of await readdir('/proc')) {
    const program = /^\d+$/.test(pid) ? await stat(`/proc/${pid}/exe`).catch(() => undefined) : undefined;
    if (program) found.add(`${program.dev}:${program.ino}`);
  }
  return found;
}

async function hashOf(dist: string, node: string): Promise<string> {
  const hash = createHash('sha256');
  for (const path of await filesBelow(dist))
    hash.update(path.slice(dist.length)).update(await readFile(path));
  const { size, mtimeMs } = await stat(node); // A hundred megabytes are not read at every start.
  hash.update(`${process.version} ${size} ${mtimeMs}`);
  return hash.digest('hex').slice(0, 16);
}

async function filesBelow(folder: string): Promise<string[]> {
  const entries = (await readdir(folder, { withFileTypes: true })).toSorted((a, b) =>
    a.name < b.name ? -1 : 1,
  );
  const nested = await Promise.all(
    entries.map((entry) => {
      const path = join(folder, entry.name);
      return entry.isDirectory() ? filesBelow(path) : Promise.resolve([path]);
    }),
  );
  return nested.flat();
}

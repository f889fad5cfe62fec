import { randomBytes } from 'node:crypto';
import {
  lstat,
  mkdir,
  readFile,
  readdir,
  readlink,
  rename,
  rm,
  symlink,
  unlink,
  writeFile,
  chmod,
} from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { ignoreMissing } from './safe-remove.ts';

export interface ProjectedFile {
  readonly data: Buffer;
  readonly mode: number;
}

/** Files by their path in the volume: relative, without `..`. */
export type Payload = ReadonlyMap<string, ProjectedFile>;

const dataLink = '..data';

/** True where `path` may be a file of a volume. */
export function isProjectedPath(path: string): boolean {
  if (path === '' || path.startsWith('/') || path.startsWith('..')) return false;
  return path.split('/').every((part) => part !== '..' && part !== '.' && part !== '');
}

/**
 * Makes a folder hold exactly these files, all of them changing at once: they lie in a folder of their
 * own behind the symlink `..data`, which one rename swaps. Says whether anything changed.
 */
export async function writePayload(
  folder: string,
  payload: Payload,
  prepare: (path: string) => Promise<void>,
): Promise<boolean> {
  for (const path of payload.keys())
    if (!isProjectedPath(path)) throw new Error(`invalid path in a volume: ${path}`);
  await mkdir(folder, { recursive: true, mode: 0o755 });
  const current = await readlink(join(folder, dataLink)).catch(ignoreMissing);
  if (current !== undefined && (await holds(join(folder, current), payload))) {
    await linkVisible(folder, payload); // A crash may have come between the swap and the links.
    return false;
  }
  const stamp = `..${new Date().toISOString().replace(/[-:]/g, '_').slice(0, 19)}.${randomBytes(4).toString('hex')}`;
  const fresh = join(folder, stamp);
  await mkdir(fresh, { mode: 0o755 });
  await chmod(fresh, 0o755);
  for (const [path, file] of payload) {
    const target = join(fresh, path);
    await mkdir(dirname(target), { recursive: true, mode: 0o755 });
    await writeFile(target, file.data, { mode: 0o600 });
    await chmod(target, file.mode); // Not subject to the umask.
  }
  await prepare(fresh);
  const temporary = join(folder, '..data_tmp');
  await rm(temporary, { force: true });
  await symlink(stamp, temporary);
  await rename(temporary, join(folder, dataLink));
  await linkVisible(folder, payload);
  await removeOld(folder, stamp);
  return true;
}

async function holds(folder: string, payload: Payload): Promise<boolean> {
  const found = await listFiles(folder, '').catch(ignoreMissing);
  if (!found || found.length !== payload.size) return false;
  for (const path of found) {
    const file = payload.get(path);
    if (!file) return false;
    if (!(await readFile(join(folder, path))).equals(file.data)) return false;
    // Group bits may have been added for fsGroup; what was asked for must be there.
    if (((await lstat(join(folder, path))).mode & file.mode) !== file.mode) return false;
  }
  return true;
}

async function listFiles(folder: string, below: string): Promise<string[]> {
  const files: string[] = [];
  for (const entry of await readdir(join(folder, below), { withFileTypes: true })) {
    const path = below === '' ? entry.name : `${below}/${entry.name}`;
    if (entry.isDirectory()) files.push(...(await listFiles(folder, path)));
    else files.push(path);
  }
  return files;
}

async function linkVisible(folder: string, payload: Payload): Promise<void> {
  const wanted = new Set([...payload.keys()].map((path) => path.split('/')[0] as string));
  for (const name of wanted) {
    const link = join(folder, name);
    const target = join(dataLink, name);
    if ((await readlink(link).catch(() => undefined)) === target) continue;
    await rm(link, { force: true, recursive: true });
    await symlink(target, link);
  }
  // Only links of ours: a volume that is mounted below this one has its mount point here too.
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    const { name } = entry;
    if (name.startsWith('..') || wanted.has(name) || !entry.isSymbolicLink()) continue;
    const isOurs = (await readlink(join(folder, name))) === join(dataLink, name);
    if (isOurs) await unlink(join(folder, name));
  }
}

async function removeOld(folder: string, keep: string): Promise<void> {
  for (const name of await readdir(folder))
    if (name.startsWith('..') && name !== dataLink && name !== keep)
      await rm(join(folder, name), { recursive: true, force: true });
}

import { access } from 'node:fs/promises';
import { isAbsolute, join } from 'node:path';
import { readInstance, type OpenInstance } from '../standalone/instance.ts';
import { CliError, command } from './context.ts';

export const noInstance = (dataDir: string): string =>
  `no instance in ${dataDir}; ${command('up', dataDir)} makes one`;

/** The instance of a data directory, or undefined where there is none. */
export async function findInstance(dataDir: string): Promise<OpenInstance | undefined> {
  if (!isAbsolute(dataDir)) throw new CliError(`--data-dir ${dataDir}: give an absolute path`);
  const found = await readInstance(dataDir);
  if (found) return found;
  // A folder that only root may read is not an empty one.
  const error = await access(join(dataDir, 'instance.json')).catch((cause: NodeJS.ErrnoException) => cause);
  if (error?.code === 'EACCES')
    throw new CliError(`${dataDir} is root's alone: run holdfast as root, or with sudo`);
  return undefined;
}

/** The same, for a verb that is nothing without one. */
export async function requireInstance(dataDir: string): Promise<OpenInstance> {
  const found = await findInstance(dataDir);
  if (!found) throw new CliError(noInstance(dataDir));
  return found;
}

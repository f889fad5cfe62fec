import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';

/**
 * Folders of mons below dataDirHostPath whose key is not ours: a cluster was here before. A mon would start
 * from such a store with keys that nobody knows any more, and never be reached.
 */
export async function findForeignMons(dataDir: string, monKey: string): Promise<string[]> {
  const names = await readdir(dataDir).catch(() => []);
  const foreign: string[] = [];
  for (const name of names.filter((one) => one.startsWith('mon-')).sort()) {
    const keyring = await readFile(join(dataDir, name, 'data/keyring'), 'utf8').catch(() => '');
    const key = /^\s*key\s*=\s*(\S+)\s*$/m.exec(keyring)?.[1];
    if (key !== undefined && key !== monKey) foreign.push(name);
  }
  return foreign;
}

import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';

/** The root of the tree. */
export const root = resolve(import.meta.dirname, '../..');

/** Every file of the tree that git has or would take, from the root on. */
export const tracked = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard'], {
  cwd: root,
  encoding: 'utf8',
})
  .split('\n')
  .filter((path) => path !== '');

export const read = (path: string): string => readFileSync(join(root, path), 'utf8');

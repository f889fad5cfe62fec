import { findTree } from '../../scripts/setup.mjs';

/** The tree that `npm test` has made before the system tests run. */
export async function findTestTree(): Promise<{ readonly path: string; readonly hash: string }> {
  const tree = await findTree(process.env['HOLDFAST_CACHE'] ?? '/var/cache/holdfast');
  if (!tree) throw new Error('there is no tree: run `npm test`, or `node scripts/setup.mjs` once');
  return tree;
}

// What a script takes of src: Node 20 cannot run TypeScript, so it is bundled in memory and imported from a data URL.
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

/**
 * The exports of a piece of TypeScript, whose imports are relative to the root of the tree.
 * @param {string} contents
 * @returns {Promise<any>}
 */
export async function importSource(contents) {
  const root = join(dirname(fileURLToPath(import.meta.url)), '..');
  const bundled = await build({
    stdin: { contents, resolveDir: root, loader: 'ts' },
    bundle: true,
    write: false,
    format: 'esm',
    platform: 'node',
    logLevel: 'warning',
  });
  const source = Buffer.from(bundled.outputFiles[0]?.contents ?? []).toString('base64');
  return await import(`data:text/javascript;base64,${source}`);
}

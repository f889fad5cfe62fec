// `npm run bench`: its own set-up, then what Holdfast costs against the bare parts, measured in the same run.
//   npm run bench -- --json FILE    also writes the results there
//   npm run bench -- api restart    runs these measures only
import { spawn } from 'node:child_process';
import { rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import {
  cacheDir,
  ensureBuild,
  ensureModules,
  failWith,
  requireHost,
  requireNode,
  root,
} from './prepare.mjs';

/** Bundled beside node_modules, where koffi and esbuild are found from it. Answers the files, main's first. */
async function bundleBench() {
  const { build } = await import('esbuild');
  const folder = join(root, 'node_modules/.cache');
  await build({
    entryPoints: ['main', 'watchers'].map((name) => join(root, `bench/${name}.ts`)),
    outdir: folder,
    entryNames: `bench-${process.pid}-[name]`,
    outExtension: { '.js': '.mjs' },
    bundle: true,
    platform: 'node',
    format: 'esm',
    target: 'node20.20',
    packages: 'external',
    sourcemap: 'inline',
    logLevel: 'warning',
  });
  return ['main', 'watchers'].map((name) => join(folder, `bench-${process.pid}-${name}.mjs`));
}

async function main() {
  requireNode();
  await requireHost();
  await ensureModules();
  await ensureBuild();
  const { ensureTree } = await import('./setup.mjs');
  await ensureTree({ cacheDir });
  const bundles = await bundleBench();
  try {
    const words = process.argv.slice(2).filter((word) => word !== '--');
    const at = words.indexOf('--json');
    if (at >= 0 && words[at + 1]) words[at + 1] = resolve(String(words[at + 1]));
    const child = spawn(process.execPath, ['--enable-source-maps', String(bundles[0]), ...words], {
      stdio: 'inherit',
      cwd: root,
    });
    // A Ctrl-C reaches the child too: it takes its instance down, and we wait for that.
    for (const name of ['SIGINT', 'SIGTERM'])
      process.on(name, () => child.kill(/** @type {NodeJS.Signals} */ (name)));
    const code = await new Promise((done, failed) => {
      child.once('error', failed);
      child.once('close', done);
    });
    process.exitCode = Number(code ?? 1);
  } finally {
    for (const file of bundles) await rm(file, { force: true });
  }
}

try {
  await main();
} catch (error) {
  failWith(error);
}

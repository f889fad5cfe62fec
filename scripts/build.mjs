// Bundles src/main.ts into dist/holdfast.mjs and its chunks, with all that the program reads beside itself.
import { build } from 'esbuild';
import { cp, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { bundleOptions } from './bundle.mjs';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const out = join(root, 'dist');
const started = Date.now();

await mkdir(out, { recursive: true });
// Chunks of an earlier build have other names.
await rm(join(out, 'chunks'), { recursive: true, force: true });
await build({
  ...bundleOptions,
  entryPoints: { holdfast: join(root, 'src/main.ts') },
  outdir: out,
  sourcemap: 'linked',
});

// koffi and its prebuilt library, without sources and other platforms.
const modules = join(out, 'node_modules');
await rm(modules, { recursive: true, force: true });
const installed = join(root, 'node_modules');
await cp(join(installed, 'koffi'), join(modules, 'koffi'), {
  recursive: true,
  // Programs and their licence; sources in C++ and their headers stay behind.
  filter: (path) =>
    !/\/koffi\/(vendor|doc|lib)(\/|$)/.test(path) &&
    !/\.(cc|hh|inc|asm|S|md|txt)$/.test(path.replace('LICENSE.txt', '')),
});
const native = `@koromix/koffi-${process.platform}-${process.arch}`;
await cp(join(installed, native), join(modules, native), { recursive: true });
// What the program reads beside itself: manifests, the machine layer's scripts, its version.
for (const name of ['deploy', 'examples']) {
  await rm(join(out, name), { recursive: true, force: true });
  await cp(join(root, name), join(out, name), { recursive: true });
}
await mkdir(join(out, 'machine'), { recursive: true });
for (const name of ['join-and-run.sh', 'node-init.sh'])
  await cp(join(root, 'src/standalone/machine', name), join(out, 'machine', name));
const { version } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8'));
await writeFile(join(out, 'version.json'), JSON.stringify({ version }));
process.stdout.write(`built dist/holdfast.mjs in ${Date.now() - started} ms\n`);

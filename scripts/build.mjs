// Bundles src/main.ts into dist/holdfast.mjs and a chunk for each part that is imported when it is needed: a
// process reads, parses and keeps in memory only its own role. koffi stays outside: it loads a native library
// by path.
import { build } from 'esbuild';
import { cp, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const out = join(root, 'dist');
const started = Date.now();

await mkdir(out, { recursive: true });
// Chunks of an earlier build have other names.
await rm(join(out, 'chunks'), { recursive: true, force: true });
await build({
  entryPoints: { holdfast: join(root, 'src/main.ts') },
  outdir: out,
  outExtension: { '.js': '.mjs' },
  chunkNames: 'chunks/[name]-[hash]',
  bundle: true,
  splitting: true,
  platform: 'node',
  format: 'esm',
  target: 'node20.20',
  external: ['koffi'],
  minifySyntax: true,
  // Half the text, which V8 keeps as long as the process lives; names stay, for stack traces.
  minifyWhitespace: true,
  sourcemap: 'linked',
  legalComments: 'none',
  loader: { '.yaml': 'text' },
  banner: {
    js: "import { createRequire as createRequireForBundle } from 'node:module'; const require = createRequireForBundle(import.meta.url);",
  },
  logLevel: 'warning',
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

import { dirname } from 'node:path';

// What the bundle takes of packages that load far more than is used of them. Each process of an instance would
// keep the rest in memory for good: 3 MB of undici, 3 MB of prom-client, 1 MB of zod's languages. An import
// that a shim does not give fails the build, so that none is missed at run time.
const shims = /** @type {Record<string, string>} */ ({
  // Without fetch, WebSocket, caches and mocks; the calls are put on the dispatchers as its own index does.
  undici: `
    import Dispatcher from 'undici/lib/dispatcher/dispatcher.js';
    import calls from 'undici/lib/api/index.js';
    Object.assign(Dispatcher.prototype, calls);
    export { default as Pool } from 'undici/lib/dispatcher/pool.js';
    export { default as errors } from 'undici/lib/core/errors.js';`,
  // Without the default metrics and what they stand on.
  'prom-client': ['Counter', 'Gauge', 'Histogram', 'Registry']
    .map((name) => `export { default as ${name} } from 'prom-client/lib/${name.toLowerCase()}.js';`)
    .join('\n'),
  // It reads .proto files at run time, for a service of gRPC's own that nobody asks.
  '@grpc/proto-loader':
    "export const loadSync = () => { throw new Error('@grpc/proto-loader is left out of this bundle'); };",
});

/** Messages in English; the other forty languages stay behind. */
const locales = /\/zod\/v4\/locales\/index\.js$/;

/** @type {import('esbuild').Plugin} */
const trim = {
  name: 'trim',
  setup(build) {
    for (const [name, contents] of Object.entries(shims)) {
      const filter = new RegExp(`^${name}$`);
      build.onResolve({ filter }, () => ({ path: name, namespace: 'trim' }));
      build.onLoad({ filter, namespace: 'trim' }, () => ({ contents, resolveDir: import.meta.dirname }));
    }
    build.onLoad({ filter: locales }, ({ path }) => ({
      contents: "export { default as en } from './en.js';",
      resolveDir: dirname(path),
    }));
  },
};

/**
 * How src is bundled: each part that is imported when it is needed is a chunk of its own, so that a process
 * reads, parses and keeps in memory only its own role. koffi stays outside: it loads a native library by path.
 * @type {import('esbuild').BuildOptions & { splitting: true }}
 */
export const bundleOptions = {
  outExtension: { '.js': '.mjs' },
  chunkNames: 'chunks/[name]-[hash]',
  bundle: true,
  splitting: true,
  platform: 'node',
  format: 'esm',
  target: 'node20.20',
  external: ['koffi'],
  plugins: [trim],
  minifySyntax: true,
  // Half the text, which V8 keeps as long as the process lives; names stay, for stack traces.
  minifyWhitespace: true,
  legalComments: 'none',
  loader: { '.yaml': 'text' },
  banner: {
    js: "import { createRequire as createRequireForBundle } from 'node:module'; const require = createRequireForBundle(import.meta.url);",
  },
  logLevel: 'warning',
};

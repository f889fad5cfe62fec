import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, relative, resolve } from 'node:path';
import { promisify } from 'node:util';
import { build, type Metafile } from 'esbuild';
import { expect, test } from 'vitest';
import { bundleOptions } from '../scripts/bundle.mjs';

const root = resolve(import.meta.dirname, '..');

/** What a role's process reads at its start: these modules, main.ts, and all that they import statically. */
const roles: Readonly<Record<string, readonly string[]>> = {
  supervisor: ['src/standalone/supervisor/run-instance.ts'],
  server: ['src/standalone/server.ts'],
  node: ['src/standalone/node/run-node.ts'],
  broker: ['src/ceph/broker/child.ts'],
  operator: ['src/operator/operator.ts', 'src/kube/kubeconfig.ts', 'src/kube/undici-client.ts'],
  'csi controller': ['src/csi/run-csi-controller.ts', 'src/kube/undici-client.ts'],
  'csi node': ['src/csi/run-csi-node.ts', 'src/host/filesystems.ts', 'src/host/mounts.ts'],
  mounter: ['src/csi/mounter/run-mounter.ts', 'src/host/node-attachers.ts'],
};
/** Packages of more than half a megabyte of memory, and who does without them. */
const without: Readonly<Record<string, readonly string[]>> = {
  supervisor: ['@grpc/grpc-js', 'undici', 'yaml', 'prom-client'],
  server: [],
  node: ['yaml', 'prom-client'],
  broker: ['@grpc/grpc-js', 'undici', 'yaml', 'prom-client', 'zod'],
  operator: ['@grpc/grpc-js', 'yaml'],
  'csi controller': ['yaml'],
  'csi node': ['undici', 'yaml', 'prom-client'],
  mounter: ['@grpc/grpc-js', 'undici', 'yaml', 'prom-client'],
};
/** In no process at all. */
const leftOut = [
  /undici\/lib\/(web\/websocket|mock|cache)\//,
  /zod\/v4\/locales\/(?!en\.|index\.)/,
  /prom-client\/lib\/metrics\//,
  /node_modules\/(@grpc\/proto-loader|protobufjs|@opentelemetry)\//,
];

/** Modules whose text a process reads that starts from these entries. */
function readBy({ outputs }: Metafile, entries: readonly string[]): string[] {
  const chunkOf = new Map(Object.entries(outputs).map(([path, { entryPoint }]) => [entryPoint, path]));
  const open = entries.map((entry) => {
    const chunk = chunkOf.get(entry);
    if (chunk === undefined) throw new Error(`main.ts does not import ${entry} by itself`);
    return chunk;
  });
  const seen = new Set<string>();
  for (let at = open.pop(); at !== undefined; at = open.pop()) {
    if (seen.has(at)) continue;
    seen.add(at);
    for (const { path, kind } of outputs[at]?.imports ?? [])
      if (kind !== 'dynamic-import' && outputs[path]) open.push(path);
  }
  return [...seen].flatMap((path) => Object.keys(outputs[path]?.inputs ?? {}));
}

test('each role reads only the packages that it needs', async () => {
  const { metafile } = await build({
    ...bundleOptions,
    absWorkingDir: root,
    entryPoints: { holdfast: 'src/main.ts' },
    outdir: 'dist',
    write: false,
    metafile: true,
  });
  for (const [role, entries] of Object.entries(roles)) {
    const modules = readBy(metafile, ['src/main.ts', ...entries]);
    for (const name of without[role] ?? [])
      expect(
        modules.filter((path) => path.includes(`node_modules/${name}/`)),
        `${role}: ${name}`,
      ).toEqual([]);
    for (const pattern of leftOut)
      expect(
        modules.filter((path) => pattern.test(path)),
        `${role}: ${pattern}`,
      ).toEqual([]);
  }
}, 30_000);

// Each of the packages that are taken in part does its work, in a process of its own.
const program = `
  import { createServer } from 'node:http';
  import { once } from 'node:events';
  import { z } from 'zod';
  import * as grpc from '@grpc/grpc-js';
  import { createKubeClient } from './src/kube/undici-client.ts';
  import { Counter, Gauge, Histogram, Registry } from './src/lib/metrics.ts';
  const registry = new Registry();
  const registers = [registry];
  new Counter({ name: 'calls', help: 'h', registers }).inc();
  new Gauge({ name: 'open', help: 'h', registers }).set(2);
  new Histogram({ name: 'took', help: 'h', buckets: [1], registers }).observe(0.5);
  const server = createServer((call, answer) => {
    answer.setHeader('content-type', 'application/json');
    if (call.url.startsWith('/readyz')) return answer.end(JSON.stringify({ path: call.url }));
    answer.writeHead(404).end(JSON.stringify({ kind: 'Status', message: 'none', code: 404 }));
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const client = createKubeClient({ url: 'http://127.0.0.1:' + server.address().port });
  const options = { signal: AbortSignal.timeout(5000), timeoutMs: 3000 };
  const ready = await client.request({ method: 'GET', path: '/readyz' }, options);
  const refused = await client.request({ method: 'GET', path: '/none' }, options).catch((error) => error.status);
  await client.close();
  server.close();
  const service = new grpc.Server();
  const port = await new Promise((done, failed) =>
    service.bindAsync('127.0.0.1:0', grpc.ServerCredentials.createInsecure(), (error, bound) =>
      error ? failed(error) : done(bound)));
  const identity = (bytes) => bytes;
  const channel = new grpc.Client('127.0.0.1:' + port, grpc.credentials.createInsecure());
  const code = await new Promise((done) =>
    channel.makeUnaryRequest('/a/b', identity, identity, Buffer.alloc(0), (error) => done(error.code)));
  channel.close();
  service.forceShutdown();
  console.log(JSON.stringify({
    ready, refused, code,
    metrics: (await registry.metrics()).split('\\n').filter((line) => line && !line.startsWith('#')),
    issue: z.object({ a: z.string() }).safeParse({ a: 1 }).error.issues[0].message,
  }));
`;

test('what the bundle takes of a package works', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'bundle-'));
  try {
    const file = join(folder, 'program.mjs');
    const { outputFiles } = await build({
      ...bundleOptions,
      splitting: false,
      absWorkingDir: root,
      stdin: { contents: program, resolveDir: root, loader: 'ts', sourcefile: 'program.ts' },
      outfile: relative(root, file),
      outExtension: {},
      write: false,
    });
    await writeFile(file, outputFiles[0]?.text ?? '');
    const { stdout } = await promisify(execFile)(process.execPath, [file], { timeout: 20_000 });
    expect(JSON.parse(stdout)).toEqual({
      ready: { path: '/readyz' },
      refused: 404,
      code: 12,
      metrics: [
        'calls 1',
        'open 2',
        'took_bucket{le="1"} 1',
        'took_bucket{le="+Inf"} 1',
        'took_sum 0.5',
        'took_count 1',
      ],
      issue: 'Invalid input: expected string, received number',
    });
  } finally {
    await rm(folder, { recursive: true });
  }
}, 30_000);

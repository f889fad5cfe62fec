import { writeFile } from 'node:fs/promises';
import { loadavg } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { apiServer } from './api-server.ts';
import { applyExample, bringUpMs } from './bring-up.ts';
import { claims } from './claims.ts';
import { createVolume } from './create-volume.ts';
import { bareBringUpMs } from './floor-ceph.ts';
import { idle } from './idle.ts';
import { withInstance } from './instance.ts';
import type { Measure } from './measure.ts';
import { podRestart } from './pod-restart.ts';
import { podStart } from './pod-start.ts';
import { restart } from './restart.ts';
import { formatTable, judge, type BenchResult, type Measured } from './result.ts';

// In this order: a machine idles with a pod in use, but before hundreds of volumes and thousands of objects.
const measures: readonly Measure[] = [podStart, idle, createVolume, claims, apiServer, restart, podRestart];
const bringUp = 'bring-up';
const limitMs = 8 * 60_000;

const names = [bringUp, ...measures.map(({ name }) => name)];
const { values, positionals } = parseArgs({
  options: { json: { type: 'string' }, 'data-dir': { type: 'string', default: '/var/lib/holdfast-bench' } },
  allowPositionals: true,
});
const unknown = positionals.find((name) => !names.includes(name));
if (unknown !== undefined) {
  process.stderr.write(`there is no measure ${unknown}; there are ${names.join(', ')}\n`);
  process.exit(2);
}
const wanted = (name: string) => positionals.length === 0 || positionals.includes(name);

const stop = new AbortController();
for (const name of ['SIGINT', 'SIGTERM'] as const)
  process.on(name, () => stop.abort(new Error('interrupted')));
const signal = AbortSignal.any([stop.signal, AbortSignal.timeout(limitMs)]);

const repository = process.env['HOLDFAST_BENCH_ROOT'] ?? process.cwd();
const startedMs = Date.now();
const print = (text: string) =>
  process.stdout.write(`${((Date.now() - startedMs) / 1000).toFixed(1).padStart(6)} s  ${text}\n`);
const note = (text: string) => print(`    ${text}`);

async function run(): Promise<BenchResult[]> {
  const results: BenchResult[] = [];
  const add = (measured: Measured) => {
    const result = judge(measured);
    results.push(result);
    print(`${result.name}: ${result.figure} ${result.unit}, ${result.met ? 'met' : 'MISSED'}`);
  };
  const chosen = measures.filter(({ name }) => wanted(name));
  const needsCeph = wanted(bringUp) || chosen.some(({ needs }) => needs === 'ceph');
  print(`load ${loadavg()[0]?.toFixed(1)}`);
  let floor: number | undefined;
  if (wanted(bringUp)) {
    print('bare Ceph cluster');
    floor = await bareBringUpMs(signal);
  }
  print('holdfast up');
  const env = { HOLDFAST_CACHE: process.env['HOLDFAST_CACHE'] ?? '/var/cache/holdfast' };
  const options = { bundle: join(repository, 'dist/holdfast.mjs'), dataDir: values['data-dir'], env, signal };
  await withInstance(options, async (instance) => {
    const context = { instance, signal, note };
    if (needsCeph) {
      print('CephCluster');
      const figure = await bringUpMs(context, join(repository, 'examples/ceph/cluster.yaml'));
      if (floor !== undefined)
        add({
          name: 'CephCluster applied -> HEALTH_OK, PGs clean',
          floor,
          figure,
          unit: 'ms',
          budget: { times: 1.5 },
        });
      await applyExample(instance, join(repository, 'examples/ceph/storageclass.yaml'), signal);
    }
    for (const measure of chosen) {
      print(`${measure.name}, load ${loadavg()[0]?.toFixed(1)}`);
      for (const measured of await measure.run(context)) add(measured);
    }
  });
  return results;
}

try {
  const results = await run();
  process.stdout.write(`\n${formatTable(results)}\n`);
  if (values.json !== undefined) await writeFile(values.json, `${JSON.stringify(results, undefined, 2)}\n`);
  process.exit(results.every(({ met }) => met) ? 0 : 1);
} catch (error) {
  process.stderr.write(
    `${stop.signal.aborted ? 'interrupted' : error instanceof Error ? error.stack : String(error)}\n`,
  );
  process.exit(stop.signal.aborted ? 130 : 1);
}

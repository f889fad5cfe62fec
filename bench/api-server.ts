import { on } from 'node:events';
import { performance } from 'node:perf_hooks';
import { Worker } from 'node:worker_threads';
import { ConfigMaps, Namespaces } from '../src/api/core.ts';
import { KV } from '../src/gen/etcd/rpc_pb.js';
import { loadKubeConfig } from '../src/kube/kubeconfig.ts';
import { withDeadline } from '../src/lib/deadline.ts';
import { unaryClient } from '../src/lib/grpc.ts';
import { mapLimit } from '../src/lib/map-limit.ts';
import { fullKey, storageOf } from '../src/standalone/apiserver/registry/storage-form.ts';
import { openEtcd } from './etcd.ts';
import type { BenchInstance } from './instance.ts';
import type { Measure } from './measure.ts';
import { median } from './result.ts';
import type { WatcherOrders, WatcherReport } from './watchers.ts';

const namespace = 'bench-api';
const creates = 200;
const listed = 5000;
const watchers = 200;
const rounds = 5;
const text = 'x'.repeat(900);
const bytes = (value: string) => new Uint8Array(Buffer.from(value));

/** Creates and lists of ConfigMaps of 1 KiB through the API server, against the same bytes in its etcd. */
export const apiServer: Measure = {
  name: 'api',
  needs: 'instance',
  async run({ instance, signal, note }) {
    const { client } = instance;
    const etcd = await openEtcd(instance);
    const kv = unaryClient(etcd, KV);
    const configMap = (name: string) => ({ metadata: { namespace, name }, data: { text } });
    const put = (name: string, value: string) =>
      timed(() => kv.put({ key: bytes(`/bench/${name}`), value: bytes(value) }, { signal }));
    // Turn by turn, so that whatever else the machine does troubles both alike.
    const createAndPut = async (prefix: string) => {
      const created: number[] = [];
      const puts: number[] = [];
      for (let at = 0; at < creates; at++) {
        const object = configMap(`${prefix}-${at}`);
        created.push(await timed(() => client.create(ConfigMaps, object, { signal })));
        puts.push(await put(`${prefix}-${at}`, JSON.stringify(object)));
      }
      return { figure: median(created), floor: median(puts) };
    };
    try {
      await client.create(Namespaces, { metadata: { name: namespace } }, { signal });
      await createAndPut('warm');
      const alone = await createAndPut('alone');

      await mapLimit(
        Array.from({ length: listed - 2 * creates }, (_, at) => `many-${at}`),
        16,
        (name) => client.create(ConfigMaps, configMap(name), { signal, timeoutMs: 60_000 }),
      );
      const list = await listAndRange(instance, kv, signal);
      note(`list of ${list.count} ConfigMaps: ${(list.bytes / 1e6).toFixed(1)} MB of JSON`);

      const crowd = await openWatchers(instance, watchersFile(), signal);
      let watched;
      try {
        watched = await createAndPut('watched');
      } finally {
        note(`${watchers} watchers read ${await crowd.close()} events`);
      }
      const unit = 'ms';
      const budget = { times: 3 };
      return [
        { name: 'API create p50', ...alone, unit, budget },
        { name: `API list of ${list.count}`, floor: list.floor, figure: list.figure, unit, budget },
        { name: `API create p50, ${watchers} watchers`, ...watched, unit, budget },
      ];
    } finally {
      etcd.close();
    }
  },
};

async function listAndRange(
  { client }: BenchInstance,
  kv: ReturnType<typeof unaryClient<typeof KV.method>>,
  signal: AbortSignal,
) {
  const lists: number[] = [];
  const ranges: number[] = [];
  let count = 0;
  let size = 0;
  for (let round = 0; round < rounds; round++) {
    const path = `/api/v1/namespaces/${namespace}/configmaps`;
    lists.push(
      await timed(async () => {
        const answer = (await client.request({ method: 'GET', path }, { signal })) as { items: unknown[] };
        count = answer.items.length;
        if (round === 0) size = JSON.stringify(answer).length;
      }),
    );
    const prefix = fullKey(storageOf(ConfigMaps), `${namespace}/`);
    ranges.push(
      await timed(async () => {
        const answer = await kv.range(
          { key: bytes(prefix), rangeEnd: bytes(`${prefix.slice(0, -1)}0`) },
          { signal },
        );
        // The namespace's CA bundle is among them on both sides.
        if (answer.kvs.length !== count)
          throw new Error(`etcd has ${answer.kvs.length} of ${count} ConfigMaps`);
      }),
    );
  }
  return { figure: median(lists.slice(1)), floor: median(ranges.slice(1)), count, bytes: size };
}

async function openWatchers({ client, places }: BenchInstance, file: URL, signal: AbortSignal) {
  // From now on: else each would first be sent the thousands that are there.
  const { resourceVersion } = await client.listPage(ConfigMaps, { namespace, limit: 1 }, { signal });
  const { url, tls } = await loadKubeConfig(places.kubeconfig);
  const orders: WatcherOrders = {
    url,
    ca: tls?.ca ?? '',
    cert: tls?.cert ?? '',
    key: tls?.key ?? '',
    path: `/api/v1/namespaces/${namespace}/configmaps?watch=true&resourceVersion=${resourceVersion}`,
    count: watchers,
  };
  const worker = new Worker(file, { workerData: orders });
  const next = (wanted: 'open' | 'events') =>
    withDeadline(`${watchers} watchers`, 30_000, signal, async (own) => {
      for await (const [report] of on(worker, 'message', { signal: own })) {
        const { error, [wanted]: count } = report as WatcherReport;
        if (error !== undefined) throw new Error(error);
        if (count !== undefined) return count;
      }
      throw new Error('the watchers ended');
    });
  await next('open').catch(async (error: unknown) => {
    await worker.terminate();
    throw error;
  });
  return {
    /** How many events they read; ends them. */
    async close(): Promise<number> {
      const read = next('events');
      // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, no window
      worker.postMessage('how many?');
      try {
        return await read;
      } finally {
        await worker.terminate();
      }
    },
  };
}

/** Beside the bundle of the bench; scripts/bench.mjs puts it there. */
const watchersFile = () => new URL(import.meta.url.replace(/main\.mjs$/, 'watchers.mjs'));

async function timed(body: () => Promise<unknown>): Promise<number> {
  const startedMs = performance.now();
  await body();
  return performance.now() - startedMs;
}

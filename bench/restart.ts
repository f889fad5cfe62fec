import { spawn } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { performance } from 'node:perf_hooks';
import { KV } from '../src/gen/etcd/rpc_pb.js';
import { loadKubeConfig } from '../src/kube/kubeconfig.ts';
import { createKubeClient } from '../src/kube/undici-client.ts';
import { unaryClient } from '../src/lib/grpc.ts';
import { openEtcd } from './etcd.ts';
import { until, type BenchInstance } from './instance.ts';
import type { Measure } from './measure.ts';

const limitMs = 60_000;

/** `holdfast up` on the data that is there -> the API answers, against etcd's own start on the same data. */
export const restart: Measure = {
  name: 'restart',
  needs: 'instance',
  async run({ instance, signal, note }) {
    const command = await etcdCommand(instance);
    await instance.holdfast(['down'], signal);
    const floor = await etcdStartMs(command, instance, signal);

    const client = createKubeClient(await loadKubeConfig(instance.places.kubeconfig));
    try {
      const startedMs = performance.now();
      const up = instance.holdfast(['up'], signal);
      up.catch(() => undefined);
      await until('the API', limitMs, signal, () => answers(client, signal), 10);
      const figure = performance.now() - startedMs;
      await up;
      note(
        `holdfast up returned after ${(performance.now() - startedMs).toFixed(0)} ms, with the node Ready`,
      );
      return [{ name: 'up on existing data -> API', floor, figure, unit: 'ms', budget: { most: 2000 } }];
    } finally {
      await client.close();
    }
  },
};

const answers = (client: ReturnType<typeof createKubeClient>, signal: AbortSignal) =>
  client.request({ method: 'GET', path: '/readyz' }, { signal, timeoutMs: 250 }).then(
    () => true,
    () => false,
  );

/** How the supervisor started etcd. */
async function etcdCommand(instance: BenchInstance): Promise<readonly string[]> {
  const record = JSON.parse(await readFile(join(instance.places.records, 'etcd.json'), 'utf8')) as {
    identity: { pid: number };
  };
  return (await readFile(`/proc/${record.identity.pid}/cmdline`, 'utf8')).split('\0').slice(0, -1);
}

/** etcd alone -> it answers a read. */
async function etcdStartMs(
  [file = '', ...args]: readonly string[],
  instance: BenchInstance,
  signal: AbortSignal,
): Promise<number> {
  const startedMs = performance.now();
  const child = spawn(file, args, { stdio: 'ignore', env: { GOMAXPROCS: '2' } });
  const ended = new Promise<void>((resolve) => child.once('close', () => resolve()));
  const etcd = await openEtcd(instance);
  const kv = unaryClient(etcd, KV);
  const key = new Uint8Array(Buffer.from('/bench/start'));
  const reads = () =>
    kv.range({ key }, { signal, timeoutMs: 1000 }).then(
      () => true,
      () => false,
    );
  try {
    await until('etcd', limitMs, signal, reads, 10);
    return performance.now() - startedMs;
  } finally {
    etcd.close();
    child.kill('SIGTERM');
    await Promise.race([ended, sleep(5000)]);
    child.kill('SIGKILL');
    await ended;
  }
}

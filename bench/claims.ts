import { performance } from 'node:perf_hooks';
import { Namespaces, PersistentVolumeClaims } from '../src/api/core.ts';
import type { KubeClient } from '../src/kube/client.ts';
import { watchResource } from '../src/kube/watcher.ts';
import { systemClock } from '../src/lib/clock.ts';
import { withDeadline } from '../src/lib/deadline.ts';
import { bareCreatesMs } from './floor-ceph.ts';
import { cpuByRole, openInstanceCeph, whoWorked } from './instance.ts';
import type { Measure, MeasureContext } from './measure.ts';

const count = 250;
const namespace = 'bench-claims';
const limitMs = 120_000;

export const claimOf = (namespace: string, name: string) => ({
  metadata: { namespace, name },
  spec: {
    storageClassName: 'rook-ceph-block',
    accessModes: ['ReadWriteOnce'],
    resources: { requests: { storage: '1Gi' } },
  },
});

/** 250 claims applied at once -> all Bound, against 250 librbd creates, 8 in flight. */
export const claims: Measure = {
  name: 'claims',
  needs: 'ceph',
  async run(context) {
    const { instance, signal } = context;
    const ceph = await openInstanceCeph(instance, signal);
    try {
      const floor = await bareCreatesMs(ceph, 'replicapool', count, signal);
      const before = await cpuByRole(instance);
      const figure = await allBoundMs(context);
      context.note(`CPU: ${whoWorked(before, await cpuByRole(instance))}`);
      return [{ name: `${count} claims -> Bound`, floor, figure, unit: 'ms', budget: { times: 1.5 } }];
    } finally {
      await ceph.close();
    }
  },
};

async function allBoundMs({ instance, signal, note }: MeasureContext): Promise<number> {
  const { client } = instance;
  await client.create(Namespaces, { metadata: { name: namespace } }, { signal });
  const startedMs = performance.now();
  const since = () => performance.now() - startedMs;
  const bound = watchBound(client, signal, since);
  bound.catch(() => undefined);
  await Promise.all(
    Array.from({ length: count }, (_, at) =>
      client.create(PersistentVolumeClaims, claimOf(namespace, `claim-${at}`), {
        signal,
        timeoutMs: limitMs,
      }),
    ),
  );
  const created = since();
  const times = await bound;
  const at = (share: number) => ((times[Math.ceil(share * count) - 1] ?? Number.NaN) / 1000).toFixed(2);
  note(
    `claims created after ${(created / 1000).toFixed(2)} s; Bound: first ${at(1 / count)}, half ${at(0.5)}, 90 % ${at(0.9)}, last ${at(1)} s`,
  );
  return times.at(-1) ?? Number.NaN;
}

/** When each claim was seen Bound, in order. */
async function watchBound(client: KubeClient, signal: AbortSignal, since: () => number): Promise<number[]> {
  return await withDeadline(`${count} claims`, limitMs, signal, async (own) => {
    const seen = new Map<string, number>();
    const events = watchResource(
      client,
      PersistentVolumeClaims,
      { namespace },
      { clock: systemClock, signal: own },
    );
    for await (const event of events) {
      if (event.type !== 'apply' && event.type !== 'initApply') continue;
      const { name } = event.object.metadata;
      if (event.object.status?.phase === 'Bound' && !seen.has(name)) seen.set(name, since());
      if (seen.size === count) break;
    }
    return [...seen.values()];
  });
}

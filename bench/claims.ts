import { performance } from 'node:perf_hooks';
import { Namespaces, PersistentVolumeClaims, PersistentVolumes } from '../src/api/core.ts';
import type { PersistentVolumeClaim } from 'kubernetes-types/core/v1.js';
import type { KubeObject, Resource, Stored } from '../src/api/resource.ts';
import type { KubeClient, Selection } from '../src/kube/client.ts';
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
  const isBound = (claim: PersistentVolumeClaim) => claim.status?.phase === 'Bound';
  const bound = whenSeen({ client, signal, since }, PersistentVolumeClaims, { namespace }, isBound);
  const made = whenSeen(
    { client, signal, since },
    PersistentVolumes,
    {},
    (volume) => volume.spec?.claimRef?.namespace === namespace,
  );
  for (const one of [bound, made]) one.catch(() => undefined);
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
  note(`claims created after ${(created / 1000).toFixed(2)} s`);
  note(`volumes there: ${spread(await made)}`);
  note(`claims Bound: ${spread(times)}`);
  return times.at(-1) ?? Number.NaN;
}

function spread(times: readonly number[]): string {
  const at = (share: number) =>
    ((times[Math.ceil(share * times.length) - 1] ?? Number.NaN) / 1000).toFixed(2);
  return `first ${at(1 / times.length)}, half ${at(0.5)}, 90 % ${at(0.9)}, last ${at(1)} s`;
}

interface Watching {
  readonly client: KubeClient;
  readonly signal: AbortSignal;
  readonly since: () => number;
}

/** When each of `count` objects was first seen to pass the test, in order. */
async function whenSeen<T extends KubeObject>(
  { client, signal, since }: Watching,
  resource: Resource<T>,
  selection: Selection,
  test: (object: Stored<T>) => boolean,
): Promise<number[]> {
  return await withDeadline(`${count} ${resource.plural}`, limitMs, signal, async (own) => {
    const seen = new Map<string, number>();
    for await (const event of watchResource(client, resource, selection, {
      clock: systemClock,
      signal: own,
    })) {
      if (event.type !== 'apply' && event.type !== 'initApply') continue;
      const { name } = event.object.metadata;
      if (!seen.has(name) && test(event.object)) seen.set(name, since());
      if (seen.size === count) break;
    }
    return [...seen.values()];
  });
}

import { afterEach, expect, test } from 'vitest';
import { CephBlockPools, type CephBlockPoolSpec } from '../../src/api/ceph/ceph-block-pool.ts';
import { CephClusters, type CephClusterSpec } from '../../src/api/ceph/ceph-cluster.ts';
import { ConfigMaps, DaemonSets, Deployments, Jobs, Pods, Secrets, Services } from '../../src/api/core.ts';
import type { KubeObject, ObjectRef, Resource, Stored } from '../../src/api/resource.ts';
import { startOperatorBench, type OperatorBench } from '../support/operator-bench.ts';
import { namespace } from '../support/operator-node-double.ts';

// Kills the operator again and again through the whole life of a cluster; what is there afterwards has to be what is
// there without a kill.

const { signal } = new AbortController();
const phaseLimitMs = 30_000;

let bench: OperatorBench;
afterEach(async () => await bench.close());

const clusterRef = { namespace, name: 'rook-ceph' };
const poolRef = { namespace, name: 'replicapool' };
const poolSpec: CephBlockPoolSpec = { failureDomain: 'osd', replicated: { size: 3 } };
const changedCluster: Partial<CephClusterSpec> = {
  mgr: { count: 2 },
  cephConfig: { global: { osd_pool_default_size: '2' } },
  resources: { osd: { requests: { memory: '2Gi' } } },
  storage: { config: { deviceClass: 'ssd' } }, // Other settings for disks: they are looked at once more.
};
const changedPool: CephBlockPoolSpec = {
  replicated: { size: 2 },
  quotas: { maxSize: '1Gi' },
  parameters: { compression_mode: 'force' },
  deviceClass: 'ssd',
  enableCrushUpdates: true,
};

const objects = async () =>
  await Promise.all([
    bench.client.get(CephClusters, clusterRef, { signal }),
    bench.client.get(CephBlockPools, poolRef, { signal }),
  ]);
const areReady = async () =>
  (await objects()).every(
    (one) => one?.status?.phase === 'Ready' && one.status.observedGeneration === one.metadata.generation,
  );
const areGone = async () => (await objects()).every((one) => one === undefined);
const change = async (resource: Resource, ref: ObjectRef, spec: object) =>
  await bench.client.patch(resource, ref, { type: 'merge', body: { spec } }, { signal });

/** What the user does, and what he waits for. */
interface Phase {
  act(): Promise<unknown>;
  isReached(): Promise<boolean>;
}

const made: Phase = {
  async act() {
    bench.wipe();
    await bench.createCluster();
    await bench.createPool(poolRef.name, poolSpec);
  },
  isReached: areReady,
};
const changed: Phase = {
  async act() {
    await change(CephClusters, clusterRef, changedCluster);
    await change(CephBlockPools, poolRef, changedPool);
  },
  isReached: areReady,
};
const deleted: Phase = {
  async act() {
    await bench.client.delete(CephClusters, clusterRef, { signal });
    await bench.client.delete(CephBlockPools, poolRef, { signal });
  },
  isReached: areGone,
};

/**
 * Lets operators live one after the other, each for as many writes as `nextLife` says, until the phase is reached or
 * that many of them have died.
 */
async function live(phase: Phase, nextLife: () => number, maxKills = Infinity): Promise<number> {
  const endMs = performance.now() + phaseLimitMs;
  const wrote: string[] = [];
  await phase.act();
  let process = bench.start(nextLife());
  while (!(await phase.isReached())) {
    if (!process.isAlive) {
      await bench.kill();
      wrote.push(process.writes.join(', '));
      if (wrote.length >= maxKills) return wrote.length;
      process = bench.start(nextLife());
    }
    if (performance.now() > endMs) {
      const stuck = (await objects()).map((one) => one?.status);
      throw new Error(`after ${wrote.slice(-5).join('; ')} it stays ${JSON.stringify(stuck)}`);
    }
    await Promise.race([process.ended, new Promise((resolve) => setTimeout(resolve, 20))]);
  }
  await bench.kill();
  return wrote.length;
}

/** Whatever was done at last, an operator that is not killed leaves this world behind it. */
async function expectWorld(expected: unknown): Promise<void> {
  bench.start();
  await expect.poll(world, { timeout: 10_000, interval: 50 }).toEqual(expected);
  await bench.kill();
}

/** Everything there is, without what differs from one cluster to the next: ids, keys, times and addresses. */
async function world(): Promise<unknown> {
  const kinds: readonly Resource[] = [
    CephClusters,
    CephBlockPools,
    Deployments,
    DaemonSets,
    Jobs,
    Pods,
    ConfigMaps,
    Secrets,
    Services,
  ];
  const lists = await Promise.all(kinds.map((kind) => bench.client.list(kind, { namespace }, { signal })));
  const { pools, osds, auth, rules, config } = bench.ceph.state;
  return blotted({
    objects: Object.fromEntries(
      lists.flatMap(({ items }, at) =>
        items.map((item) => [`${kinds[at]?.kind} ${nameOf(item)}`, plain(item)]),
      ),
    ),
    doubled: bench.created.filter((name, at, all) => all.indexOf(name) !== at).toSorted(),
    formats: bench.disks.map((disk) => disk.formats),
    // How many placement groups a pool starts with depends on how many OSDs Ceph knew just then.
    pools: [...pools.values()]
      .map(({ id: _id, pgNum: _pgNum, namespaces: _namespaces, ...pool }) => ({
        ...pool,
        applications: [...pool.applications],
        options: [...pool.options].toSorted(),
      }))
      .toSorted((a, b) => a.name.localeCompare(b.name)),
    osds: [...osds.values()],
    rules: [...rules.keys()].toSorted(),
    auth: [...auth].map(([name, { caps }]) => [name, [...caps].toSorted()]).toSorted(),
    config: [...config].toSorted(),
  });
}

/** The double’s pods end in a part of an uid. */
const nameOf = ({ metadata }: Stored<KubeObject>) => metadata.name.replace(/-[0-9a-f]{8}$/, '');

interface AnyObject extends KubeObject {
  readonly data?: Readonly<Record<string, string>>;
  readonly status?: {
    readonly phase?: string;
    readonly message?: string;
    readonly conditions?: readonly object[];
  };
}

function plain(object: Stored<KubeObject>): unknown {
  const { metadata, data, status, ...rest } = object as Stored<AnyObject>;
  return {
    ...rest,
    labels: metadata.labels,
    owners: metadata.ownerReferences?.map(({ kind, name }) => `${kind} ${name}`),
    finalizers: metadata.finalizers,
    isDeleted: metadata.deletionTimestamp !== undefined,
    data: object.kind === 'Secret' ? Object.keys(data ?? {}).toSorted() : data,
    phase: status?.phase,
    message: status?.message,
    conditions: status?.conditions?.map((one) => ({ ...one, observedGeneration: undefined })),
  };
}

const blotted = (value: unknown): unknown =>
  JSON.parse(
    JSON.stringify(value)
      .replaceAll(/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/g, '<uuid>')
      .replaceAll(/[0-9a-f]{16}\.[0-9a-f]{12}/g, '<run>')
      .replaceAll(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, '<time>')
      .replaceAll(/\b10\.\d+\.\d+\.\d+/g, '<address>'),
  );

/** Numbers that look random and are the same for one seed. */
function seeded(seed: number): (max: number) => number {
  let state = seed;
  return (max) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return 1 + Math.floor((state / 2 ** 32) * max);
  };
}

interface Worlds {
  readonly made: unknown;
  readonly changed: unknown;
  readonly deleted: unknown;
}

/** The worlds without a kill; each is there once it no longer changes. */
async function worldsWithoutKill(): Promise<Worlds> {
  bench = await startOperatorBench();
  bench.collectGarbage();
  const after = async (phase: Phase) => {
    await live(phase, () => Infinity);
    bench.start();
    let last = await world();
    for (let same = 0; same < 10;) {
      await new Promise((resolve) => setTimeout(resolve, 50));
      const now = await world();
      same = JSON.stringify(now) === JSON.stringify(last) ? same + 1 : 0;
      last = now;
    }
    await bench.kill();
    return last;
  };
  const worlds = { made: await after(made), changed: await after(changed), deleted: await after(deleted) };
  await bench.close();
  return worlds;
}

let known: Promise<Worlds> | undefined;
const worlds = async () => await (known ??= worldsWithoutKill());

test('an operator killed at every write, each time followed by one that goes on, leaves the same behind', async () => {
  const expected = await worlds();
  bench = await startOperatorBench();
  bench.collectGarbage();
  const everyWrite = () => 1;
  expect(await live(made, everyWrite)).toBeGreaterThan(20);
  await expectWorld(expected.made);
  expect(await live(changed, everyWrite)).toBeGreaterThan(4);
  await expectWorld(expected.changed);
  expect(await live(deleted, everyWrite)).toBeGreaterThan(4);
  await expectWorld(expected.deleted);
});

// What is half-made is changed or deleted, and made anew as soon as it is gone.
test.each([1, 2, 3])(
  'killed at random while its users go on (seed %i) it comes out the same',
  async (seed) => {
    const expected = await worlds();
    const random = seeded(seed);
    bench = await startOperatorBench();
    bench.collectGarbage();
    const upTo8 = () => random(8);
    await live(made, upTo8, random(12));
    await live(changed, upTo8, random(12));
    await live(deleted, upTo8);
    await live(made, upTo8);
    await expectWorld(expected.made);
  },
);

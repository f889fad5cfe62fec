import { afterEach, expect, test } from 'vitest';
import { z } from 'zod';
import {
  Deployments,
  Endpoints,
  Namespaces,
  PersistentVolumeClaims,
  PersistentVolumes,
  Pods,
  ReplicaSets,
  Secrets,
  Services,
  StatefulSets,
  StorageClasses,
  VolumeAttachments,
} from '../../src/api/core.ts';
import { fakeCeph, type FakeCeph } from '../../src/ceph/fake/fake-ceph.ts';
import { createManager } from '../../src/control/manager.ts';
import { openClusters } from '../../src/csi/clusters.ts';
import { controllerService } from '../../src/csi/controller.ts';
import { staticImages } from '../../src/csi/rbd/static-images.ts';
import { trashBin } from '../../src/csi/rbd/trash-bin.ts';
import { rbdVolumes } from '../../src/csi/rbd/volumes.ts';
import { addCsiSidecars } from '../../src/csi/sidecar/sidecars.ts';
import type { KubeClient } from '../../src/kube/client.ts';
import { createEventRecorder } from '../../src/kube/events.ts';
import { loadKubeConfig } from '../../src/kube/kubeconfig.ts';
import { createKubeClient } from '../../src/kube/undici-client.ts';
import { systemClock } from '../../src/lib/clock.ts';
import { silentLogger } from '../../src/lib/log.ts';
import { runControllers } from '../../src/standalone/controllers/controllers.ts';
import { startTestApi } from '../support/api-server.ts';
import { mortalProcess, type MortalProcess } from '../support/mortal-process.ts';
import { startVolumeNodeDouble } from '../support/volume-node-double.ts';

// Kills the standalone controllers and CSI's sidecars again and again while a StatefulSet with volumes and a
// Deployment come, change and go with their namespace.

const driver = 'rook-ceph.rbd.csi.ceph.com';
const namespace = 'team-a';
const closers: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

type Role = (process: MortalProcess) => Promise<void>;

/** Runs a role for ever: each life ends after as many writes as `nextLife` says, and the next one goes on. */
function keepStarting(role: Role, nextLife: () => number) {
  const history = new Set<string>();
  const wrote: string[] = [];
  let stopped = false;
  let process = mortalProcess(nextLife(), history);
  const running = (async () => {
    for (;;) {
      const ended = role(process).catch(() => undefined);
      await Promise.all([process.ended, ended]);
      wrote.push(process.writes.join(', '));
      if (stopped) return;
      process = mortalProcess(nextLife(), history);
    }
  })();
  closers.push(async () => {
    stopped = true;
    process.kill();
    await running;
  });
  return { wrote };
}

const controllers =
  (client: KubeClient): Role =>
  async (process) =>
    await runControllers({
      client: process.kube(client),
      clock: systemClock,
      log: silentLogger,
      signal: process.signal,
      random: () => 0.5,
    });

const sidecars =
  (client: KubeClient, ceph: FakeCeph): Role =>
  async (process) => {
    const { signal } = process;
    const own = process.kube(client);
    const deps = { client: own, clock: systemClock, log: silentLogger };
    const entry = { clusterId: 'rook-ceph', monitors: ['10.0.0.1:3300'] };
    const config = { all: async () => [entry], cluster: async () => entry };
    const clusters = openClusters(config, process.ceph(ceph.open));
    const trash = trashBin({ clock: systemClock, log: silentLogger, signal });
    const manager = createManager(deps);
    addCsiSidecars(manager, {
      driver,
      controller: controllerService({
        volumes: rbdVolumes(clusters, trash),
        images: staticImages(clusters),
        now: () => systemClock.now(),
      }),
      client: own,
      events: createEventRecorder({ ...deps, component: driver, signal }),
      now: () => systemClock.now(),
      secretNamespace: 'default',
    });
    await manager.run(signal);
    await trash.idle();
  };

async function startWorld() {
  const api = await startTestApi();
  closers.push(() => api.close());
  const client = createKubeClient(await loadKubeConfig(api.kubeconfig));
  closers.push(() => client.close());
  const stop = new AbortController();
  const { signal } = stop;
  const options = { signal };
  const ceph = fakeCeph();
  await ceph.mon({ prefix: 'osd pool create', pool: 'rbd', pg_num: 8 }, z.unknown(), options);
  const node = await startVolumeNodeDouble(client, { name: 'n1', driver, signal });
  closers.push(async () => {
    stop.abort(new Error('the test is over'));
    await node.ended;
  });
  const data = { userID: btoa('csi'), userKey: btoa('very-secret') };
  await client.create(Secrets, { metadata: { namespace: 'default', name: 'rbd' }, data }, options);
  const secret = (kind: string) => ({
    [`csi.storage.k8s.io/${kind}-secret-name`]: 'rbd',
    [`csi.storage.k8s.io/${kind}-secret-namespace`]: 'default',
  });
  await client.create(
    StorageClasses,
    {
      metadata: { name: 'block' },
      provisioner: driver,
      allowVolumeExpansion: true,
      parameters: {
        clusterID: 'rook-ceph',
        pool: 'rbd',
        ...secret('provisioner'),
        ...secret('controller-publish'),
        ...secret('controller-expand'),
        ...secret('node-stage'),
      },
    },
    options,
  );
  return { client, ceph, node, options };
}
type World = Awaited<ReturnType<typeof startWorld>>;

const labels = (app: string) => ({ metadata: { labels: { app } } });
const template = (app: string, image: string, mount?: string) => ({
  ...labels(app),
  spec: {
    containers: [{ name: 'c', image, ...(mount && { volumeMounts: [{ name: mount, mountPath: '/data' }] }) }],
  },
});

async function make({ client, options }: World): Promise<void> {
  await client.create(Namespaces, { metadata: { name: namespace } }, options);
  await client.create(
    Deployments,
    {
      metadata: { namespace, name: 'web' },
      spec: { replicas: 2, selector: { matchLabels: { app: 'web' } }, template: template('web', 'v1') },
    },
    options,
  );
  await client.create(
    Services,
    { metadata: { namespace, name: 'web' }, spec: { selector: { app: 'web' }, ports: [{ port: 80 }] } },
    options,
  );
  await client.create(
    StatefulSets,
    {
      metadata: { namespace, name: 'db' },
      spec: {
        replicas: 2,
        serviceName: 'db',
        selector: { matchLabels: { app: 'db' } },
        template: template('db', 'v1', 'data'),
        volumeClaimTemplates: [
          {
            metadata: { name: 'data' },
            spec: {
              accessModes: ['ReadWriteOnce'],
              storageClassName: 'block',
              resources: { requests: { storage: '10Mi' } },
            },
          },
        ],
      },
    },
    options,
  );
}

async function change({ client, options }: World): Promise<void> {
  const merge = { type: 'merge' } as const;
  const web = { replicas: 3, template: template('web', 'v2') };
  await client.patch(Deployments, { namespace, name: 'web' }, { ...merge, body: { spec: web } }, options);
  const db = { template: template('db', 'v2', 'data') };
  await client.patch(StatefulSets, { namespace, name: 'db' }, { ...merge, body: { spec: db } }, options);
  const spec = { resources: { requests: { storage: '20Mi' } } };
  const claim = { namespace, name: 'data-db-0' };
  await client.patch(PersistentVolumeClaims, claim, { ...merge, body: { spec } }, options);
}

/** What there is, in a few words: each pod with its image, each volume with its size. */
async function look({ client, ceph, options }: World) {
  const all = { namespace };
  const [pods, sets, claims, volumes, attachments, endpoints] = await Promise.all([
    client.list(Pods, all, options),
    client.list(ReplicaSets, all, options),
    client.list(PersistentVolumeClaims, all, options),
    client.list(PersistentVolumes, {}, options),
    client.list(VolumeAttachments, {}, options),
    client.list(Endpoints, all, options),
  ]);
  const images = await ceph.rbd.list({ pool: 'rbd' }, options);
  const infos = await Promise.all(images.map(({ name }) => ceph.rbd.info({ pool: 'rbd' }, name, options)));
  return {
    pods: pods.items
      .map(({ metadata, spec, status }) =>
        [metadata.labels?.['app'], spec?.containers[0]?.image, status?.phase].join(' '),
      )
      .sort(),
    isThere: (await client.get(Namespaces, { name: namespace }, options)) !== undefined,
    replicas: sets.items.map(({ spec }) => spec?.replicas).sort(),
    claims: claims.items.map(({ metadata, status }) => `${metadata.name} ${status?.phase}`).sort(),
    volumes: volumes.items
      .map(({ spec, status }) => `${spec?.capacity?.['storage']} ${status?.phase}`)
      .sort(),
    attached: attachments.items.map(({ status }) => status?.attached),
    addresses: endpoints.items.flatMap(({ subsets }) => subsets?.flatMap((one) => one.addresses ?? []) ?? [])
      .length,
    images: infos.map((info) => Number(info?.sizeBytes) / 1024 ** 2).sort(),
    trash: (await ceph.rbd.trashList({ pool: 'rbd' }, options)).length,
    journal: (await ceph.objects.omapList({ pool: 'rbd' }, 'csi.volumes.default', options)).size,
  };
}

const started = {
  isThere: true,
  pods: ['db v1 Running', 'db v1 Running', 'web v1 Running', 'web v1 Running'],
  replicas: [2],
  claims: ['data-db-0 Bound', 'data-db-1 Bound'],
  volumes: ['10Mi Bound', '10Mi Bound'],
  attached: [true, true],
  images: [10, 10],
  trash: 0,
  journal: 2,
};
const rolledOut = {
  ...started,
  pods: ['db v2 Running', 'db v2 Running', 'web v2 Running', 'web v2 Running', 'web v2 Running'],
  replicas: [0, 3],
  volumes: ['10Mi Bound', '20Mi Bound'],
  images: [10, 20],
};
const gone = {
  isThere: false,
  pods: [],
  replicas: [],
  claims: [],
  volumes: [],
  attached: [],
  addresses: 0,
  images: [],
  trash: 0,
  journal: 0,
};

/** Numbers that look random and are the same for one seed. */
function seeded(seed: number): (max: number) => number {
  let state = seed;
  return (max) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return 1 + Math.floor((state / 2 ** 32) * max);
  };
}

test.each([1, 2])('killed at random (seed %i), everything comes, changes and goes as asked', async (seed) => {
  const random = seeded(seed);
  const upTo12 = () => random(12);
  const world = await startWorld();
  const roles = [
    keepStarting(controllers(world.client), upTo12),
    keepStarting(sidecars(world.client, world.ceph), upTo12),
  ];
  const becomes = async (expected: object) => {
    await expect
      .poll(() => look(world), { timeout: 60_000, interval: 50 })
      .toMatchObject(expected)
      .catch((cause: unknown) => {
        const last = roles.map(({ wrote }) => wrote.slice(-4).join('; '));
        throw new Error(`the last lives: ${last.join(' | ')}`, { cause });
      });
    expect(world.node.violations).toEqual([]);
  };
  await make(world);
  await becomes(started);
  await change(world);
  await becomes(rolledOut);
  await world.client.delete(Namespaces, { name: namespace }, world.options);
  await becomes(gone);
  for (const { wrote } of roles) expect(wrote.length).toBeGreaterThan(1); // They did die on the way.
});

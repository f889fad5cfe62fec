import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Deployment } from 'kubernetes-types/apps/v1.js';
import type { Job } from 'kubernetes-types/batch/v1.js';
import { Deployments, Jobs, Pods, Secrets } from '../../src/api/core.ts';
import { refOf, type KubeObject, type Resource, type Stored } from '../../src/api/resource.ts';
import type { FakeCeph } from '../../src/ceph/fake/fake-ceph.ts';
import type { BluestoreLabel } from '../../src/host/bluestore-label.ts';
import type { KubeClient } from '../../src/kube/client.ts';
import { watchResource } from '../../src/kube/watcher.ts';
import { systemClock } from '../../src/lib/clock.ts';
import { silentLogger } from '../../src/lib/log.ts';
import { runOsdPrepare } from '../../src/operator/osd/prepare.ts';
import type { ScannedDisk } from '../../src/operator/osd/scanned-disk.ts';

export const namespace = 'rook-ceph';

/** A disk of the double’s node; a label appears on it once it was formatted. */
export interface TestDisk extends ScannedDisk {
  label?: BluestoreLabel;
  /** How many times an OSD was made on it. */
  formats: number;
  /** Fails to be formatted. */
  broken?: boolean;
}

export const blankDisk = (name: string): TestDisk => ({
  name,
  paths: [`/dev/${name}`, `/dev/disk/by-id/test-${name}`],
  sizeBytes: 10 * 1024 ** 3,
  rotational: true,
  formats: 0,
});

export const blankDisks = (): TestDisk[] => ['loop1', 'loop2', 'loop3'].map(blankDisk);

/** The Ceph of now: a cluster that is made anew is another one. */
export interface World {
  ceph: FakeCeph;
}

interface Double {
  readonly client: KubeClient;
  readonly world: World;
  readonly disks: TestDisk[];
  readonly created: string[];
  readonly signal: AbortSignal;
}

/** Plays kubelet and the daemons: pods run at once, two mons make a quorum, an OSD’s daemon boots it. */
export async function playNode(double: Double): Promise<void> {
  await Promise.all([
    follow(double, Deployments, {
      added: (deployment) => runDeployment(double, deployment),
      deleted: (deployment) => endDeployment(double, deployment),
    }),
    follow(double, Jobs, { added: (job) => runJob(double, job) }),
  ]);
}

interface Follower<T> {
  added(object: Stored<T & KubeObject>): Promise<void>;
  deleted?(object: Stored<T & KubeObject>): Promise<void>;
}

async function follow<T extends KubeObject>(
  { client, created, signal }: Double,
  resource: Resource<T>,
  { added, deleted }: Follower<T>,
): Promise<void> {
  const seen = new Set<string>();
  const running: Promise<void>[] = [];
  const run = (work: Promise<void> | undefined) => {
    if (work) running.push(work.catch((error: unknown) => void (signal.aborted || console.error(error))));
  };
  try {
    for await (const event of watchResource(
      client,
      resource,
      { namespace },
      { clock: systemClock, signal },
    )) {
      if (event.type === 'delete') run(deleted?.(event.object));
      if (event.type !== 'initApply' && event.type !== 'apply') continue;
      const { object } = event;
      if (seen.has(object.metadata.uid)) continue;
      seen.add(object.metadata.uid);
      created.push(object.metadata.name);
      run(added(object));
    }
  } catch (error) {
    if (!signal.aborted) throw error;
  }
  await Promise.all(running);
}

const podOf = (deployment: Stored<Deployment>) => ({
  namespace,
  name: `${deployment.metadata.name}-${deployment.metadata.uid.slice(0, 8)}`,
});

async function runDeployment(
  { client, world: { ceph }, signal }: Double,
  deployment: Stored<Deployment>,
): Promise<void> {
  const { name, labels } = deployment.metadata;
  const { template } = deployment.spec ?? {};
  await client.create(
    Pods,
    {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { ...podOf(deployment), labels: template?.metadata?.labels ?? {} },
      spec: { containers: [{ name: 'c', image: 'busybox' }] },
    },
    { signal },
  );
  await client.patch(
    Deployments,
    refOf(deployment),
    {
      type: 'merge',
      body: { status: { replicas: 1, readyReplicas: 1, availableReplicas: 1, updatedReplicas: 1 } },
    },
    { signal, subresource: 'status' },
  );
  if (name === 'rook-ceph-mon-b') ceph.reachable = true;
  const id = labels?.['ceph-osd-id'];
  if (id !== undefined) ceph.bootOsd(Number(id), { host: labels?.['topology-location-host'] ?? '' });
}

/** The daemon ends first; its pod is there a moment longer. */
async function endDeployment(
  { client, world: { ceph }, signal }: Double,
  deployment: Stored<Deployment>,
): Promise<void> {
  const { name, labels } = deployment.metadata;
  if (name === 'rook-ceph-mon-b') ceph.reachable = false;
  const osd = ceph.osds.get(Number(labels?.['ceph-osd-id'] ?? -1));
  if (osd) osd.up = false;
  await client.delete(Pods, podOf(deployment), { signal, gracePeriodSeconds: 0 });
}

async function runJob({ client, disks, signal }: Double, job: Stored<Job>): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'holdfast-prepare-'));
  try {
    const secretName =
      job.spec?.template.spec?.volumes?.find((volume) => volume.secret)?.secret?.secretName ?? '';
    const secret = await client.get(Secrets, { namespace, name: secretName }, { signal });
    const configFile = join(folder, 'config.json');
    await writeFile(configFile, Buffer.from(secret?.data?.['config.json'] ?? '', 'base64'), { mode: 0o600 });
    const byPath = (device: string) => disks.find((disk) => disk.paths.includes(device));
    await runOsdPrepare(
      { configFile },
      {
        client,
        clock: systemClock,
        log: silentLogger,
        signal,
        dataDir: join(folder, 'rook'),
        scan: () => Promise.resolve(disks),
        readLabel: (device) => Promise.resolve(byPath(device)?.label),
        format(osd) {
          const disk = byPath(osd.device);
          if (!disk || disk.broken)
            return Promise.reject(new Error('ceph-osd ended with 1: Input/output error'));
          disk.formats++;
          disk.label = {
            osdUuid: osd.uuid,
            sizeBytes: BigInt(disk.sizeBytes),
            description: 'main',
            meta: new Map([
              ['ceph_fsid', osd.fsid],
              ['whoami', String(osd.id)],
              ['osd_key', osd.key],
              ['ready', 'ready'],
            ]),
          };
          return Promise.resolve();
        },
      },
    );
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

import { randomUUID } from 'node:crypto';
import type { Job } from 'kubernetes-types/batch/v1.js';
import type { ConfigMap, Container, Secret } from 'kubernetes-types/core/v1.js';
import { newCephxKey } from '../../ceph/cephx-key.ts';
import { ConfigMaps, Jobs, Secrets } from '../../api/core.ts';
import type { Stored } from '../../api/resource.ts';
import { contentHash } from '../objects.ts';
import type { OwnImage } from '../own-image.ts';
import { prepareJobName, statusMapName, type PrepareConfig } from '../osd/report.ts';
import { compareCephVersions, formatCephVersion } from '../../ceph/versions.ts';
import { versionInImageName } from './ceph-version.ts';
import { cephContainer, placementOf, resourcesOf } from './daemon-pod.ts';
import type { StorageNode } from './storage-nodes.ts';
import { cephImageOf, dataDirOf, type ClusterWork } from './work.ts';
import type { ClusterIdentity } from './identity.ts';

const maxSlots = 64; // More disks than this on one node are prepared by the next run.
export const diskTimeoutSeconds = 120;
const runAnnotation = 'holdfast.io/prepare-run';

const keysName = (hostname: string) => `${prepareJobName(hostname)}-config`;

/** What a run depends on: a changed storage section, image or fsid makes another run. */
const runHash = (work: ClusterWork, node: StorageNode, fsid: string): string =>
  contentHash({ selection: node.selection, fsid, image: work.cluster.spec.cephVersion?.image });

/** The run that a job belongs to; its pod's report carries the same. */
export const runOf = (job: Job): string => job.metadata?.annotations?.[runAnnotation] ?? '';

/**
 * Starts the job that looks at a node’s disks, once for each run. A job of another run is removed first,
 * and this one made on a later look. Deleting the job makes the operator look again.
 */
export async function ensurePrepareJob(
  work: ClusterWork,
  node: StorageNode,
  { fsid, monKey }: Pick<ClusterIdentity, 'fsid' | 'monKey'>,
): Promise<Stored<Job> | undefined> {
  const { namespace, objects, signal } = work;
  const ref = { namespace, name: prepareJobName(node.hostname) };
  const hash = runHash(work, node, fsid);
  const existing = await objects.get(Jobs, ref, signal);
  if (existing) {
    if (runOf(existing).startsWith(hash)) return existing;
    if (!existing.metadata.deletionTimestamp) await objects.remove(Jobs, ref, signal);
    return undefined;
  }
  // The pod reports here; it must be there before the pod, whose role may not create others.
  await objects.createOnce(ConfigMaps, statusMap(work, node), signal);
  const run = `${hash}.${work.random(6).toString('hex')}`;
  const secret = await objects.createOnce(Secrets, prepareSecret(work, node, { fsid, monKey, run }), signal);
  const config = configIn(secret);
  if (!config?.run.startsWith(hash)) {
    // Left by a run that was never started, or is over.
    await objects.remove(Secrets, { namespace, name: keysName(node.hostname) }, signal);
    return undefined;
  }
  return await objects.createOnce(Jobs, prepareJob(work, node, config.run), signal);
}

const statusMap = (work: ClusterWork, node: StorageNode): ConfigMap => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: {
    name: statusMapName(node.hostname),
    namespace: work.namespace,
    labels: { app: 'rook-ceph-osd', node: node.hostname, rook_cluster: work.namespace },
    ownerReferences: [work.owner],
  },
  data: {},
});

const configIn = (secret: Secret | undefined): PrepareConfig | undefined => {
  const text = Buffer.from(secret?.data?.['config.json'] ?? '', 'base64').toString();
  return text ? (JSON.parse(text) as PrepareConfig) : undefined;
};

/** Removes the keys once they have done their work. */
export async function dropHandedOutKeys(work: ClusterWork, hostname: string): Promise<void> {
  const { objects, namespace, signal } = work;
  const ref = { namespace, name: keysName(hostname) };
  if (await objects.get(Secrets, ref, signal)) await objects.remove(Secrets, ref, signal);
}

/** Keys that were handed to a node’s pod, by OSD fsid; empty once the Secret is gone. */
export async function handedOutKeys(
  work: ClusterWork,
  hostname: string,
): Promise<ReadonlyMap<string, string>> {
  const ref = { namespace: work.namespace, name: keysName(hostname) };
  const secret = await work.kube.get(Secrets, ref, { signal: work.signal });
  return new Map((configIn(secret)?.slots ?? []).map((slot) => [slot.uuid, slot.key]));
}

function prepareSecret(
  work: ClusterWork,
  node: StorageNode,
  { fsid, monKey, run }: { readonly fsid: string; readonly monKey: string; readonly run: string },
): Secret {
  const own = ownOfSameCeph(work);
  const config: PrepareConfig = {
    node: node.hostname,
    namespace: work.namespace,
    statusConfigMap: statusMapName(node.hostname),
    run,
    fsid,
    ...(monKey && { monKey }),
    ...(own && { cephVersion: formatCephVersion(own.ceph) }),
    diskTimeoutSeconds,
    selection: node.selection,
    slots: Array.from({ length: maxSlots }, () => ({
      uuid: randomUUID({ disableEntropyCache: true }),
      key: newCephxKey(work.clock.now(), work.random),
    })),
  };
  return {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name: keysName(node.hostname), namespace: work.namespace, ownerReferences: [work.owner] },
    type: 'kubernetes.io/rook',
    data: { 'config.json': Buffer.from(JSON.stringify(config)).toString('base64') },
  };
}

/**
 * The operator's own image, where the Ceph in it is of the cluster's version to the last number: it can make
 * the OSDs itself. The pod looks again before it writes, for a tag may mean another image on another node.
 */
function ownOfSameCeph(work: ClusterWork): OwnImage | undefined {
  const wanted = versionInImageName(cephImageOf(work));
  const { own } = work.images;
  return wanted && own && compareCephVersions(wanted, own.ceph) === 0 ? own : undefined;
}

/**
 * The job: Ceph of the cluster's version makes the OSDs. Where Holdfast's image has that very version, it
 * does so directly; else Holdfast's program is put into Ceph's own image by an init container, which costs
 * a copy of a hundred megabytes.
 */
export function prepareJob(work: ClusterWork, node: StorageNode, run: string): Job {
  const labels = {
    app: 'rook-ceph-osd-prepare',
    rook_cluster: work.namespace,
    'ceph.rook.io/node': node.hostname,
  };
  const own = ownOfSameCeph(work);
  return {
    apiVersion: 'batch/v1',
    kind: 'Job',
    metadata: {
      name: prepareJobName(node.hostname),
      namespace: work.namespace,
      labels,
      annotations: { [runAnnotation]: run },
      ownerReferences: [work.owner],
    },
    spec: {
      // A disk that fails has its verdict; a pod that fails is tried again.
      backoffLimit: 6,
      template: {
        metadata: { labels },
        spec: {
          serviceAccountName: 'rook-ceph-osd',
          restartPolicy: 'OnFailure',
          nodeSelector: { 'kubernetes.io/hostname': node.hostname },
          ...placementOf(work, 'prepareosd'),
          volumes: [
            ...(own ? [] : [{ name: 'holdfast', emptyDir: {} }]),
            { name: 'devices', hostPath: { path: '/dev' } },
            { name: 'udev', hostPath: { path: '/run/udev' } },
            { name: 'rook-data', hostPath: { path: dataDirOf(work.cluster), type: 'DirectoryOrCreate' } },
            { name: 'config', secret: { secretName: keysName(node.hostname), defaultMode: 0o400 } },
          ],
          ...(!own && { initContainers: [copyContainer(work)] }),
          containers: [provisionContainer(work, own)],
        },
      },
    },
  };
}

const holdfastMount = { name: 'holdfast', mountPath: '/holdfast' };

const copyContainer = (work: ClusterWork): Container => ({
  name: 'copy-bins',
  image: work.images.holdfast,
  imagePullPolicy: 'IfNotPresent',
  args: ['osd', 'copy', '--to', '/holdfast'],
  volumeMounts: [holdfastMount],
});

const provisionContainer = (work: ClusterWork, own: OwnImage | undefined): Container => ({
  ...cephContainer(work, { name: 'provision' }, resourcesOf(work, 'prepareosd')),
  env: [],
  ...(own
    ? { image: own.name, imagePullPolicy: 'IfNotPresent' }
    : { command: ['/holdfast/node', '/holdfast/holdfast.mjs'] }),
  args: ['osd', 'prepare', '--config', '/etc/holdfast/config.json'],
  securityContext: { privileged: true, runAsUser: 0 },
  volumeMounts: [
    ...(own ? [] : [holdfastMount]),
    { name: 'devices', mountPath: '/dev' },
    { name: 'udev', mountPath: '/run/udev' },
    { name: 'rook-data', mountPath: '/var/lib/holdfast-host-data', readOnly: true },
    { name: 'config', mountPath: '/etc/holdfast', readOnly: true },
  ],
});

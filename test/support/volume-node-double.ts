import type { Pod } from 'kubernetes-types/core/v1.js';
import {
  CSINodes,
  Nodes,
  PersistentVolumeClaims,
  PersistentVolumes,
  Pods,
  VolumeAttachments,
} from '../../src/api/core.ts';
import { refOf, type Stored } from '../../src/api/resource.ts';
import { createManager } from '../../src/control/manager.ts';
import { done, requeueAfter, type Outcome } from '../../src/control/outcome.ts';
import type { Reconciler } from '../../src/control/reconciler.ts';
import { triggeredBy } from '../../src/control/trigger.ts';
import type { CacheSet } from '../../src/kube/cache-set.ts';
import type { KubeClient } from '../../src/kube/client.ts';
import { systemClock } from '../../src/lib/clock.ts';
import { silentLogger } from '../../src/lib/log.ts';
import { attachmentName, volumeKey } from '../../src/standalone/controllers/storage/attachment.ts';

const again = requeueAfter(20);

interface NodeOptions {
  readonly name: string;
  readonly driver: string;
  readonly signal: AbortSignal;
}

export interface VolumeNodeDouble {
  /** What must never be: an attachment that was to go while the volume was mounted. */
  readonly violations: readonly string[];
  readonly ended: Promise<void>;
}

/** A node that does as kubelet: says that a volume is in use, waits until it is attached, and runs the pod. */
export async function startVolumeNodeDouble(
  client: KubeClient,
  options: NodeOptions,
): Promise<VolumeNodeDouble> {
  const { name, driver, signal } = options;
  const drivers = [{ name: driver, nodeID: name }];
  await client.create(Nodes, { metadata: { name } }, { signal });
  await client.create(CSINodes, { metadata: { name }, spec: { drivers } }, { signal });
  await patchNode(client, options, {
    allocatable: { cpu: '64', memory: '64Gi', pods: '500' },
    conditions: [{ type: 'Ready', status: 'True' }],
  });
  const manager = createManager({ client, clock: systemClock, log: silentLogger });
  const { caches } = manager;
  const violations: string[] = [];
  const mounts = mountsOf(caches, client, options, violations);
  const pods = caches.cache(Pods);
  manager.add({
    resource: Pods,
    concurrency: 1,
    triggers: [triggeredBy(VolumeAttachments, () => pods.list().map(refOf))],
    reconciler: nodeReconciler(caches, client, options, mounts),
  });
  return { violations, ended: manager.run(signal) };
}

const patchNode = async (client: KubeClient, { name, signal }: NodeOptions, status: object) =>
  await client.patch(Nodes, { name }, { type: 'merge', body: { status } }, { signal, subresource: 'status' });

type Mounts = ReturnType<typeof mountsOf>;

/** What is in use and what is mounted, by the uid of its pod. */
function mountsOf(caches: CacheSet, client: KubeClient, options: NodeOptions, violations: string[]) {
  const inUse = new Map<string, readonly string[]>();
  const mounted = new Map<string, readonly string[]>();
  const report = async () =>
    await patchNode(client, options, { volumesInUse: [...new Set([...inUse.values()].flat())].sort() });
  caches.cache(VolumeAttachments).onChange(({ type, object }) => {
    const volume = object.spec.source.persistentVolumeName ?? '';
    const isLeaving = type === 'deleted' || object.metadata.deletionTimestamp !== undefined;
    if (isLeaving && [...mounted.values()].flat().includes(volume))
      violations.push(`${volume} was to be detached while it was mounted`);
  });
  return {
    async use(uid: string, keys: readonly string[]) {
      if (inUse.has(uid) || keys.length === 0) return;
      inUse.set(uid, keys);
      await report();
    },
    mount: (uid: string, volumes: readonly string[]) => void mounted.set(uid, volumes),
    async letGo(uids: Iterable<string>) {
      let isNews = false;
      for (const uid of uids) {
        mounted.delete(uid);
        isNews = inUse.delete(uid) || isNews;
      }
      if (isNews) await report();
    },
    uids: () => [...inUse.keys()],
  };
}

function nodeReconciler(
  caches: CacheSet,
  client: KubeClient,
  { name, driver, signal }: NodeOptions,
  mounts: Mounts,
): Reconciler<Pod> {
  const pods = caches.cache(Pods);
  const claims = caches.cache(PersistentVolumeClaims);
  const volumes = caches.cache(PersistentVolumes);
  const boundVolumes = ({ metadata, spec }: Stored<Pod>) =>
    (spec?.volumes ?? []).flatMap(({ persistentVolumeClaim }) => {
      if (!persistentVolumeClaim) return [];
      const claim = claims.get({ namespace: metadata.namespace, name: persistentVolumeClaim.claimName });
      return [claim?.status?.phase === 'Bound' ? (claim.spec?.volumeName ?? '') : ''];
    });
  /** Asked of the API after the use was told of, as kubelet does: a cache may not know yet of a detach. */
  const isAttached = async (handle: string) => {
    const ref = { name: attachmentName(handle, driver, name) };
    const one = await client.get(VolumeAttachments, ref, { signal });
    return one?.status?.attached === true && one.metadata.deletionTimestamp === undefined;
  };
  const run = async (pod: Stored<Pod>): Promise<Outcome> => {
    const { uid } = pod.metadata;
    const wanted = boundVolumes(pod);
    const handles = wanted.map((volume) => volumes.get({ name: volume })?.spec?.csi?.volumeHandle ?? '');
    if (handles.includes('')) return again;
    await mounts.use(
      uid,
      handles.map((handle) => volumeKey(driver, handle)),
    );
    if ((await Promise.all(handles.map(isAttached))).includes(false)) return again;
    mounts.mount(uid, wanted);
    const status = { phase: 'Running', conditions: [{ type: 'Ready', status: 'True' }] };
    await client.patch(
      Pods,
      refOf(pod),
      { type: 'merge', body: { status } },
      { signal, subresource: 'status' },
    );
    return done;
  };
  return {
    name: 'node-double',
    async reconcile(pod) {
      if (pod.spec?.nodeName !== name) return done;
      const { uid, deletionTimestamp } = pod.metadata;
      if (!deletionTimestamp) return pod.status?.phase === 'Running' ? done : await run(pod);
      await mounts.letGo([uid]);
      await client.delete(Pods, refOf(pod), { signal, uid, gracePeriodSeconds: 0 });
      return done;
    },
    async gone() {
      // One that was removed by force is unmounted as well.
      const there = new Set(pods.list().map((pod) => pod.metadata.uid));
      await mounts.letGo(mounts.uids().filter((uid) => !there.has(uid)));
      return done;
    },
  };
}

import type { Pod } from 'kubernetes-types/core/v1.js';
import type { VolumeAttachment } from 'kubernetes-types/storage/v1.js';
import { VolumeAttachments } from '../../../api/core.ts';
import { keyOf, refOf, type ObjectRef, type Stored } from '../../../api/resource.ts';
import { done, requeueAfter, type Outcome } from '../../../control/outcome.ts';
import type { ReconcileContext, Reconciler } from '../../../control/reconciler.ts';
import { isAlreadyExists } from '../../../kube/errors.ts';
import { isSingleNode, wantedBy, type AttachDeps, type WantedAttachment } from './attachment.ts';

const multiAttachRecheckMs = 5_000;

/** Makes a VolumeAttachment for each volume that a placed pod needs on its node. */
export function volumeAttach(deps: AttachDeps): Reconciler<Pod> {
  const tell = attachNews(deps);
  return {
    name: 'volume-attach',
    async reconcile(pod, context) {
      let outcome: Outcome = done;
      const settled: Settled[] = [];
      for (const wanted of wantedBy(pod, deps)) {
        const attachment = deps.attachments.get({ name: wanted.name });
        if (attachment) settled.push({ volume: wanted.volume.metadata.name, attachment });
        else if (!(await attach(deps, pod, wanted, context))) outcome = requeueAfter(multiAttachRecheckMs);
      }
      tell.of(pod, settled);
      return outcome;
    },
    gone(ref) {
      tell.forget(ref);
      return Promise.resolve(done);
    },
  };
}

/** False where another node still has the volume. */
async function attach(
  deps: AttachDeps,
  pod: Stored<Pod>,
  wanted: WantedAttachment,
  context: ReconcileContext,
): Promise<boolean> {
  const { volume, driver, node, name } = wanted;
  const elsewhere = deps.attachments
    .list()
    .find(
      (one) => one.spec.source.persistentVolumeName === volume.metadata.name && one.spec.nodeName !== node,
    );
  if (elsewhere && isSingleNode(volume)) {
    deps.events.event(
      pod,
      'Warning',
      'FailedAttachVolume',
      multiAttachMessage(deps, wanted, elsewhere.spec.nodeName),
    );
    return false;
  }
  const attachment: VolumeAttachment = {
    apiVersion: 'storage.k8s.io/v1',
    kind: 'VolumeAttachment',
    metadata: { name },
    spec: { attacher: driver, nodeName: node, source: { persistentVolumeName: volume.metadata.name } },
  };
  try {
    deps.attachments.remember(await deps.client.create(VolumeAttachments, attachment, context));
  } catch (error) {
    if (!isAlreadyExists(error)) throw error;
  }
  return true;
}

function multiAttachMessage(deps: AttachDeps, { volume }: WantedAttachment, node: string): string {
  const name = volume.metadata.name;
  const users = deps.pods
    .list()
    .filter(
      (pod) =>
        pod.spec?.nodeName === node && wantedBy(pod, deps).some((one) => one.volume.metadata.name === name),
    );
  if (users.length === 0) {
    return `Multi-Attach error for volume "${name}" Volume is already exclusively attached to node ${node} and can't be attached to another`;
  }
  const pods = users.map((pod) => keyOf(refOf(pod))).join(', ');
  return `Multi-Attach error for volume "${name}" Volume is already used by pod(s) ${pods} on node ${node}`;
}

interface Settled {
  readonly volume: string;
  readonly attachment: Stored<VolumeAttachment>;
}

/** Says in a waiting pod's events how its attachments went: each outcome once, however often it is looked at. */
function attachNews({ events }: AttachDeps) {
  const told = new Map<string, ReadonlySet<string>>();
  return {
    of(pod: Stored<Pod>, settled: readonly Settled[]): void {
      const key = keyOf(refOf(pod));
      // Once its containers run, it was told before.
      if (pod.status?.phase !== 'Pending' || settled.length === 0) return void told.delete(key);
      const before = told.get(key);
      const now = new Set<string>();
      for (const { volume, attachment } of settled) {
        const news = newsOf(volume, attachment);
        if (!news) continue;
        const what = `${pod.metadata.uid}/${attachment.metadata.uid}/${news.message}`;
        now.add(what);
        if (!before?.has(what)) events.event(pod, news.type, news.reason, news.message);
      }
      told.set(key, now);
    },
    forget: (ref: ObjectRef) => void told.delete(keyOf(ref)),
  };
}

function newsOf(volume: string, { status }: Stored<VolumeAttachment>) {
  if (status?.attached) {
    const message = `AttachVolume.Attach succeeded for volume "${volume}"`;
    return { type: 'Normal', reason: 'SuccessfulAttachVolume', message } as const;
  }
  if (!status?.attachError) return undefined;
  const why = status.attachError.message ?? 'no reason given';
  const message = `AttachVolume.Attach failed for volume "${volume}" : ${why}`;
  return { type: 'Warning', reason: 'FailedAttachVolume', message } as const;
}

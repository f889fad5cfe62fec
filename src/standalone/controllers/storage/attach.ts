import type { Pod } from 'kubernetes-types/core/v1.js';
import type { VolumeAttachment } from 'kubernetes-types/storage/v1.js';
import { VolumeAttachments } from '../../../api/core.ts';
import { keyOf, refOf, type Stored } from '../../../api/resource.ts';
import { done, requeueAfter, type Outcome } from '../../../control/outcome.ts';
import type { ReconcileContext, Reconciler } from '../../../control/reconciler.ts';
import { isAlreadyExists } from '../../../kube/errors.ts';
import { isSingleNode, wantedBy, type AttachDeps, type WantedAttachment } from './attachment.ts';

const multiAttachRecheckMs = 5_000;

/** Makes a VolumeAttachment for each volume that a placed pod needs on its node. */
export function volumeAttach(deps: AttachDeps): Reconciler<Pod> {
  return {
    name: 'volume-attach',
    async reconcile(pod, context) {
      let outcome: Outcome = done;
      for (const wanted of wantedBy(pod, deps)) {
        const existing = deps.attachments.get({ name: wanted.name });
        if (existing) tellHowItWent(deps, pod, wanted, existing.status ?? {});
        else if (!(await attach(deps, pod, wanted, context))) outcome = requeueAfter(multiAttachRecheckMs);
      }
      return outcome;
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

interface AttachmentStatus {
  readonly attached?: boolean;
  readonly attachError?: { readonly message?: string };
}

function tellHowItWent(
  deps: AttachDeps,
  pod: Stored<Pod>,
  wanted: WantedAttachment,
  status: AttachmentStatus,
): void {
  const name = wanted.volume.metadata.name;
  const waits = pod.status?.phase === 'Pending';
  if (!waits) return; // Its containers run, so it was told before.
  if (status.attached) {
    deps.events.event(
      pod,
      'Normal',
      'SuccessfulAttachVolume',
      `AttachVolume.Attach succeeded for volume "${name}"`,
    );
  } else if (status.attachError) {
    const message = `AttachVolume.Attach failed for volume "${name}" : ${status.attachError.message ?? 'no reason given'}`;
    deps.events.event(pod, 'Warning', 'FailedAttachVolume', message);
  }
}

import type { Node, PersistentVolume } from 'kubernetes-types/core/v1.js';
import type { VolumeAttachment } from 'kubernetes-types/storage/v1.js';
import { Nodes, PersistentVolumes, VolumeAttachments } from '../../../api/core.ts';
import { refOf, type Stored } from '../../../api/resource.ts';
import { done, requeueAfter } from '../../../control/outcome.ts';
import type { Reconciler } from '../../../control/reconciler.ts';
import { writeStatus } from '../../../control/status.ts';
import { volumeKey, wantedBy, type AttachDeps } from './attachment.ts';

const outOfService = 'node.kubernetes.io/out-of-service';
const recheckMs = 5_000; // In-use is the node's word; a look from time to time costs nothing.

/**
 * Deletes a VolumeAttachment that no pod of its node wants, once the node itself says that the volume is
 * out of use. No timer ever overrules the node: only its deletion, or the out-of-service taint that an
 * administrator sets on a machine known to be off.
 */
export function volumeDetach(deps: AttachDeps): Reconciler<VolumeAttachment> {
  const isWanted = (attachment: Stored<VolumeAttachment>) =>
    deps.pods
      .list()
      .some(
        (pod) =>
          pod.spec?.nodeName === attachment.spec.nodeName &&
          wantedBy(pod, deps).some((wanted) => wanted.name === attachment.metadata.name),
      );
  return {
    name: 'volume-detach',
    async reconcile(attachment, { signal, log }) {
      if (attachment.metadata.deletionTimestamp !== undefined || isWanted(attachment)) return done;
      if (holds(deps.nodes.get(nodeOf(attachment)), attachment, volumeOf(attachment, deps)))
        return requeueAfter(recheckMs);
      // Caches may be behind, and a volume that is taken away under a mount cannot be given back.
      const name = attachment.spec.source.persistentVolumeName;
      const [node, volume] = await Promise.all([
        deps.client.get(Nodes, nodeOf(attachment), { signal }),
        name ? deps.client.get(PersistentVolumes, { name }, { signal }) : undefined,
      ]);
      if (holds(node, attachment, volume)) return requeueAfter(recheckMs);
      if (isWanted(attachment)) return done; // Another pod of the same volume came meanwhile.
      log.info(
        { attachment: attachment.metadata.name, node: attachment.spec.nodeName },
        'detaching a volume',
      );
      const uid = attachment.metadata.uid;
      await deps.client.delete(VolumeAttachments, refOf(attachment), { signal, uid });
      return done;
    },
  };
}

const nodeOf = ({ spec }: VolumeAttachment) => ({ name: spec.nodeName });

const isOutOfService = (node: Stored<Node>) =>
  (node.spec?.taints ?? []).some((taint) => taint.key === outOfService);

const volumeOf = ({ spec }: Stored<VolumeAttachment>, deps: AttachDeps) =>
  deps.volumes.get({ name: spec.source.persistentVolumeName ?? '' });

const keyOfVolume = (driver: string, volume: PersistentVolume | undefined): string | undefined => {
  const handle = volume?.spec?.csi?.volumeHandle;
  return handle ? volumeKey(driver, handle) : undefined;
};

/** Whether the node says that it uses the volume, and is to be believed. */
function holds(
  node: Stored<Node> | undefined,
  { spec }: Stored<VolumeAttachment>,
  volume: Stored<PersistentVolume> | undefined,
): boolean {
  if (!node || isOutOfService(node)) return false;
  const key = keyOfVolume(spec.attacher, volume);
  return key !== undefined && (node.status?.volumesInUse ?? []).includes(key);
}

/** Tells each node in its status what is attached to it. */
export function attachedVolumes(deps: AttachDeps): Reconciler<Node> {
  return {
    name: 'volumes-attached',
    async reconcile(node, { signal }) {
      const attached = deps.attachments
        .list()
        .filter((one) => one.spec.nodeName === node.metadata.name && one.status?.attached)
        .flatMap((one) => keyOfVolume(one.spec.attacher, volumeOf(one, deps)) ?? [])
        .toSorted()
        .map((name) => ({ name, devicePath: '' }));
      const written = await writeStatus(
        deps.client,
        Nodes,
        node,
        (current) => ({ ...current.status, volumesAttached: attached }),
        { signal },
      );
      // The next attachment comes before the watch has brought this one.
      if (written) deps.nodes.remember(written);
      return done;
    },
  };
}

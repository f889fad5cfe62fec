import { createHash } from 'node:crypto';
import type { Node, PersistentVolume, PersistentVolumeClaim, Pod } from 'kubernetes-types/core/v1.js';
import type { CSIDriver, VolumeAttachment } from 'kubernetes-types/storage/v1.js';
import type { Stored } from '../../../api/resource.ts';
import type { KubeClient } from '../../../kube/client.ts';
import type { EventRecorder } from '../../../kube/events.ts';
import type { RunningCache } from '../../../kube/watch-cache.ts';
import { claimNamesOf } from './protection.ts';

export interface AttachDeps {
  readonly client: KubeClient;
  readonly events: EventRecorder;
  readonly pods: RunningCache<Pod>;
  readonly nodes: RunningCache<Node>;
  readonly claims: RunningCache<PersistentVolumeClaim>;
  readonly volumes: RunningCache<PersistentVolume>;
  readonly drivers: RunningCache<CSIDriver>;
  readonly attachments: RunningCache<VolumeAttachment>;
}

/** A CSI volume on the one node where a pod wants it. */
export interface WantedAttachment {
  readonly name: string;
  readonly driver: string;
  readonly node: string;
  readonly volume: Stored<PersistentVolume>;
}

/** `csi-<sha256 of handle, driver and node>`: the name that kubelet looks for. */
export const attachmentName = (handle: string, driver: string, node: string): string =>
  `csi-${createHash('sha256')
    .update(handle + driver + node)
    .digest('hex')}`;

/** The name of a volume in node.status.volumesInUse and volumesAttached. */
export const volumeKey = (driver: string, handle: string): string => `kubernetes.io/csi/${driver}^${handle}`;

/** A pod that has ended, or whose deletion finished on its node, holds no volume any more. */
export function isOver(pod: Stored<Pod>): boolean {
  if (pod.status?.phase === 'Succeeded' || pod.status?.phase === 'Failed') return true;
  if (pod.metadata.deletionTimestamp === undefined) return false;
  const statuses = pod.status?.containerStatuses ?? [];
  return (
    statuses.length > 0 && statuses.every((one) => !one.state?.running && one.state?.terminated !== undefined)
  );
}

/** What one placed pod needs attached; volumes whose claims are not bound yet are left out. */
export function wantedBy(pod: Stored<Pod>, deps: AttachDeps): WantedAttachment[] {
  const node = pod.spec?.nodeName;
  if (!node || isOver(pod)) return [];
  return claimNamesOf(pod).flatMap((claimName) => {
    const claim = deps.claims.get({ namespace: pod.metadata.namespace, name: claimName });
    const volume =
      claim?.status?.phase === 'Bound' && deps.volumes.get({ name: claim.spec?.volumeName ?? '' });
    const csi = volume ? volume.spec?.csi : undefined;
    if (!volume || !csi) return [];
    // A driver that was never described is attached, as Kubernetes does it.
    if (deps.drivers.get({ name: csi.driver })?.spec.attachRequired === false) return [];
    return [{ name: attachmentName(csi.volumeHandle, csi.driver, node), driver: csi.driver, node, volume }];
  });
}

/** Only one node at a time may have a volume whose every access mode is for one node. */
export const isSingleNode = (volume: Stored<PersistentVolume>): boolean =>
  (volume.spec?.accessModes ?? []).every((mode) => mode === 'ReadWriteOnce' || mode === 'ReadWriteOncePod');

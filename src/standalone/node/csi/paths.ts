import { createHash } from 'node:crypto';
import { dirname, join } from 'node:path';

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');

/** Name of the VolumeAttachment that attach/detach makes for a volume on a node. */
export const attachmentName = (handle: string, driver: string, node: string): string =>
  `csi-${sha256(handle + driver + node)}`;

/** How node.status names an attached volume. */
export const uniqueVolumeName = (driver: string, handle: string): string =>
  `kubernetes.io/csi/${driver}^${handle}`;

export const csiPluginFolder = (kubeletRoot: string): string =>
  join(kubeletRoot, 'plugins/kubernetes.io/csi');

/** Where a driver mounts a volume once a node. vol_data.json lies beside it. */
export const stagePath = (kubeletRoot: string, driver: string, handle: string): string =>
  join(csiPluginFolder(kubeletRoot), driver, sha256(handle), 'globalmount');

export const blockStagePath = (kubeletRoot: string, pvName: string): string =>
  join(csiPluginFolder(kubeletRoot), 'volumeDevices/staging', pvName);

export const blockPublishPath = (kubeletRoot: string, pvName: string, podUid: string): string =>
  join(csiPluginFolder(kubeletRoot), 'volumeDevices/publish', pvName, podUid);

export const podFolder = (kubeletRoot: string, podUid: string): string => join(kubeletRoot, 'pods', podUid);

export const podCsiFolder = (kubeletRoot: string, podUid: string): string =>
  join(podFolder(kubeletRoot, podUid), 'volumes/kubernetes.io~csi');

/** Block volumes of a pod are recorded here; kubelet keeps a symlink, we keep what is needed to undo. */
export const podDeviceFolder = (kubeletRoot: string, podUid: string): string =>
  join(podFolder(kubeletRoot, podUid), 'volumeDevices/kubernetes.io~csi');

export const dataFileOfStage = (stage: string): string => join(dirname(stage), 'vol_data.json');

import { join } from 'node:path';
import {
  blockPublishPath,
  blockStagePath,
  csiPluginFolder,
  dataFileOfStage,
  podCsiFolder,
  podDeviceFolder,
  stagePath,
} from './paths.ts';
import { volumeDataFile } from './volume-data.ts';

/** One volume of one pod, as the disk's records name it. */
export interface VolumeOfPod {
  readonly driver: string;
  readonly handle: string;
  readonly pvName: string;
  readonly podUid: string;
  /** A raw device: volumeMode Block. */
  readonly isDevice: boolean;
}

/** Where a volume is staged and published, and the records beside both. */
export interface VolumePlaces {
  readonly stage: string;
  readonly stageRecord: string;
  readonly target: string;
  readonly targetRecord: string;
  /** Holds targetRecord; ours to remove. */
  readonly folder: string;
}

export function placesOf(kubeletRoot: string, volume: VolumeOfPod): VolumePlaces {
  const { driver, handle, pvName, podUid, isDevice } = volume;
  if (isDevice) {
    const folder = join(podDeviceFolder(kubeletRoot, podUid), pvName);
    return {
      stage: blockStagePath(kubeletRoot, pvName),
      stageRecord: volumeDataFile(join(csiPluginFolder(kubeletRoot), 'volumeDevices/data', pvName)),
      target: blockPublishPath(kubeletRoot, pvName, podUid),
      targetRecord: volumeDataFile(folder),
      folder,
    };
  }
  const stage = stagePath(kubeletRoot, driver, handle);
  const folder = join(podCsiFolder(kubeletRoot, podUid), pvName);
  return {
    stage,
    stageRecord: dataFileOfStage(stage),
    target: join(folder, 'mount'),
    targetRecord: volumeDataFile(folder),
    folder,
  };
}

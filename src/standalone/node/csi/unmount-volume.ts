import { lstat, rm, rmdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import { isMountPoint, unmountPath } from '../volumes/mount-table.ts';
import { ignoreMissing } from '../volumes/safe-remove.ts';
import { Capability, driverCallMs, type DriverClient } from './driver-client.ts';
import type { VolumePlaces } from './places.ts';
import { removeVolumeData } from './volume-data.ts';

/** Takes the volume from one pod: the driver's call, then what it left, then the record. */
export async function unpublishVolume(
  driver: DriverClient,
  handle: string,
  { target, targetRecord, folder }: VolumePlaces,
  signal: AbortSignal,
): Promise<void> {
  await driver.calls.nodeUnpublishVolume(
    { volumeId: handle, targetPath: target },
    { signal, timeoutMs: driverCallMs },
  );
  if (await isMountPoint(target)) await unmountPath(target, signal);
  // rmdir and not a tree's removal: were it mounted again meanwhile, nothing in it may be deleted.
  const left = await lstat(target).catch(ignoreMissing);
  if (left?.isDirectory()) await rmdir(target);
  else if (left) await rm(target);
  await removeVolumeData(targetRecord);
  await rmdir(folder).catch(ignoreMissing);
}

/** Takes the volume from the node. */
export async function unstageVolume(
  driver: DriverClient,
  handle: string,
  stage: string,
  stageRecord: string,
  signal: AbortSignal,
): Promise<void> {
  if (await driver.has(Capability.STAGE_UNSTAGE_VOLUME, signal))
    await driver.calls.nodeUnstageVolume(
      { volumeId: handle, stagingTargetPath: stage },
      { signal, timeoutMs: driverCallMs },
    );
  if (await isMountPoint(stage)) await unmountPath(stage, signal);
  await rmdir(stage).catch(ignoreMissing);
  await removeVolumeData(stageRecord);
  await rmdir(dirname(stageRecord)).catch(ignoreMissing);
}

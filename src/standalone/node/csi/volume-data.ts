import { mkdir, readFile, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { z } from 'zod';
import { writeFileAtomic } from '../../../lib/atomic-file.ts';
import { ignoreMissing, namesIn } from '../volumes/safe-remove.ts';
import { csiPluginFolder, podCsiFolder, podDeviceFolder } from './paths.ts';

/** kubelet's own record beside a mount, in its spelling: enough to undo it without asking the API. */
const VolumeData = z.object({
  driverName: z.string(),
  volumeHandle: z.string(),
  specVolID: z.string().optional(),
  nodeName: z.string().optional(),
  attachmentID: z.string().optional(),
  volumeLifecycleMode: z.string().optional(),
  seLinuxMountContext: z.string().optional(),
  /** Set for a raw device. */
  volumeMode: z.string().optional(),
});
export type VolumeData = z.infer<typeof VolumeData>;

/** One mount, or device, of a pod, as found on disk. */
export interface PublishedVolume {
  readonly podUid: string;
  readonly pvName: string;
  /** The folder that holds vol_data.json. */
  readonly folder: string;
  readonly data: VolumeData;
}

const fileName = 'vol_data.json';

export async function writeVolumeData(file: string, data: VolumeData): Promise<void> {
  await mkdir(dirname(file), { recursive: true, mode: 0o750 });
  await writeFileAtomic(file, JSON.stringify(data));
}

export async function readVolumeData(file: string): Promise<VolumeData | undefined> {
  const text = await readFile(file, 'utf8').catch(ignoreMissing);
  return text === undefined ? undefined : VolumeData.parse(JSON.parse(text));
}

export const removeVolumeData = (file: string): Promise<void> => rm(file, { force: true });

export const volumeDataFile = (folder: string): string => join(folder, fileName);

/** What is, or may be, published for one pod. */
export async function publishedFor(kubeletRoot: string, podUid: string): Promise<PublishedVolume[]> {
  const found: PublishedVolume[] = [];
  for (const parent of [podCsiFolder(kubeletRoot, podUid), podDeviceFolder(kubeletRoot, podUid)]) {
    for (const pvName of await namesIn(parent)) {
      const folder = join(parent, pvName);
      const data = await readVolumeData(volumeDataFile(folder)).catch(ignoreNoFolder);
      if (data) found.push({ podUid, pvName, folder, data });
    }
  }
  return found;
}

export async function publishedEverywhere(kubeletRoot: string): Promise<PublishedVolume[]> {
  const found: PublishedVolume[] = [];
  for (const uid of await namesIn(join(kubeletRoot, 'pods')))
    found.push(...(await publishedFor(kubeletRoot, uid)));
  return found;
}

/** Volumes that are, or may be, staged on this node: their staging path and record. */
export async function stagedEverywhere(
  kubeletRoot: string,
): Promise<{ readonly stage: string; readonly dataFile: string; readonly data: VolumeData }[]> {
  const root = csiPluginFolder(kubeletRoot);
  const found = [];
  for (const driver of await namesIn(root)) {
    if (driver === 'volumeDevices') continue;
    for (const digest of await namesIn(join(root, driver))) {
      const folder = join(root, driver, digest);
      const data = await readVolumeData(volumeDataFile(folder)).catch(ignoreNoFolder);
      if (data) found.push({ stage: join(folder, 'globalmount'), dataFile: volumeDataFile(folder), data });
    }
  }
  const devices = join(root, 'volumeDevices/data');
  for (const pvName of await namesIn(devices)) {
    const dataFile = volumeDataFile(join(devices, pvName));
    const data = await readVolumeData(dataFile);
    if (data) found.push({ stage: join(root, 'volumeDevices/staging', pvName), dataFile, data });
  }
  return found;
}

function ignoreNoFolder(error: unknown): undefined {
  if ((error as NodeJS.ErrnoException).code === 'ENOTDIR') return undefined;
  throw error;
}

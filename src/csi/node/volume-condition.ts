import { imageKey } from '../../host/image-key.ts';
import type { Mounter } from '../mounter/client.ts';
import type { Device } from '../mounter/protocol.ts';
import type { StagedVolumes } from './staged.ts';

export interface StagedDeviceDeps {
  readonly mounter: Pick<Mounter, 'list'>;
  readonly staged: Pick<StagedVolumes, 'read'>;
}

/** The device behind a staged volume, dead ones included. */
export async function stagedDevice(
  volumeId: string,
  { mounter, staged }: StagedDeviceDeps,
  signal: AbortSignal,
): Promise<Device | undefined> {
  const volume = await staged.read(volumeId);
  return volume && (await mounter.list(signal)).find((device) => imageKey(device) === imageKey(volume.image));
}

/** CSI's VolumeCondition, which kubelet makes an event of the pod. */
export interface VolumeCondition {
  readonly abnormal: boolean;
  readonly message: string;
}

export async function volumeCondition(
  volumeId: string,
  deps: StagedDeviceDeps,
  signal: AbortSignal,
): Promise<VolumeCondition> {
  let device: Device | undefined;
  try {
    device = await stagedDevice(volumeId, deps, signal);
  } catch (error) {
    signal.throwIfAborted();
    // The volume works without the mounter's answer.
    return { abnormal: false, message: error instanceof Error ? error.message : String(error) };
  }
  if (!device || device.alive) return { abnormal: false, message: 'the volume is in order' };
  return {
    abnormal: true,
    message: `the daemon behind ${device.device} died: reads and writes fail until the mounter has replaced it. A block device has to be closed for that, or the pod deleted`,
  };
}

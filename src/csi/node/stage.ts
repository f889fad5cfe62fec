import { mkdir } from 'node:fs/promises';
import { isContentError, type Filesystems, type FilesystemType } from '../../host/filesystems.ts';
import { mountAt, type Mounts } from '../../host/mounts.ts';
import { Code, RpcError } from '../../lib/grpc.ts';
import type { Logger } from '../../lib/log.ts';
import type { Mounter } from '../mounter/client.ts';
import type { AttachBody, Device } from '../mounter/protocol.ts';
import type { StagedVolume, StagedVolumes } from './staged.ts';

export interface StageDeps {
  readonly mounter: Mounter;
  readonly mounts: Mounts;
  readonly filesystems: Filesystems;
  readonly staged: StagedVolumes;
  readonly log: Logger;
}

export interface StageRequest extends StagedVolume {
  readonly attach: AttachBody;
  readonly mountFlags: readonly string[];
}

// nouuid: a clone, or the same volume on another virtual node, carries the same UUID.
const ownOptions: Readonly<Record<FilesystemType, readonly string[]>> = {
  xfs: ['nouuid', 'noatime', 'discard'],
  ext4: ['noatime', 'discard'],
};

/**
 * Attaches the image and mounts its filesystem at the staging path. Nothing is formatted that is not proven
 * blank, and nothing is written below the staging path before it is a mount of the expected device.
 */
export async function stageVolume(
  request: StageRequest,
  deps: StageDeps,
  signal: AbortSignal,
): Promise<void> {
  const { mounter, mounts, filesystems, staged } = deps;
  const { volumeId, image, stagingPath, block, fsType } = request;
  const before = await staged.read(volumeId);
  if (before && before.stagingPath !== stagingPath && mountAt(await mounts.list(), before.stagingPath))
    throw new RpcError(Code.ALREADY_EXISTS, `volume ${volumeId} is staged at ${before.stagingPath} already`);
  // Written before anything is attached: an unstage after a crash here has to find the image.
  await staged.write({ volumeId, image, stagingPath, block, fsType });
  const device = await mounter.attach(request.attach, signal);
  deps.log.info(
    { volumeId, device: device.device, attacher: device.attacher, passedOver: device.passedOver },
    'image attached',
  );
  if (block) return;
  await mkdir(stagingPath, { recursive: true, mode: 0o750 });
  const there = mountAt(await mounts.list(), stagingPath);
  const options = [...ownOptions[fsType], ...(request.attach.readOnly ? ['ro'] : []), ...request.mountFlags];
  const release = () => mounter.release(image, { fsType, options }, signal);
  if (there && isDevice(there, device) && there.fsType !== fsType)
    throw new RpcError(Code.ALREADY_EXISTS, `${stagingPath} has the volume already, as ${there.fsType}`);
  if (there && isDevice(there, device)) return await release();
  if (there) {
    const found = `${there.major}:${there.minor}`;
    throw new RpcError(
      Code.INTERNAL,
      `${stagingPath} is already a mount of device ${found}, not of ${device.device}`,
    );
  }
  try {
    const found = await filesystems.ensure(device.device, fsType, signal);
    await mounts.mount({ source: device.device, target: stagingPath, fsType, options }, signal);
    // One that grew while it was nowhere staged. A failure is told by NodeExpandVolume, which comes for it too.
    if (found === 'existing' && !request.attach.readOnly) {
      await filesystems.grow(device.device, fsType, stagingPath, signal).catch(() => signal.throwIfAborted());
    }
  } catch (error) {
    if (isContentError(error)) throw new RpcError(Code.FAILED_PRECONDITION, error.message, { cause: error });
    throw error;
  }
  const mounted = mountAt(await mounts.list(), stagingPath);
  if (!mounted || !isDevice(mounted, device))
    throw new RpcError(Code.INTERNAL, `${stagingPath} did not become a mount of ${device.device}`);
  await release();
}

const isDevice = (mount: { readonly major: number; readonly minor: number }, device: Device) =>
  mount.major === device.major && mount.minor === device.minor;

/** Takes mount and device away; a volume that was never staged is no error. */
export async function unstageVolume(
  volumeId: string,
  stagingPath: string,
  deps: StageDeps,
  signal: AbortSignal,
): Promise<void> {
  const { mounter, mounts, staged } = deps;
  for (let turn = 0; turn < 8 && mountAt(await mounts.list(), stagingPath); turn++) {
    await mounts.unmount(stagingPath, {}, signal);
  }
  const volume = await staged.read(volumeId);
  if (!volume) return;
  await mounter.detach(volume.image, signal);
  await staged.forget(volumeId);
}

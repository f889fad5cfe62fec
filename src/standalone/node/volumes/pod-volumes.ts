import { chmod, chown, lstat, mkdir, realpath } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { EmptyDirVolumeSource, Pod, Volume } from 'kubernetes-types/core/v1.js';
import { mapLimit } from '../../../lib/map-limit.ts';
import { parseBytes } from '../../../lib/quantity.ts';
import type { CsiVolumes } from '../csi/csi-volumes.ts';
import { podFolder } from '../csi/paths.ts';
import { publishedFor } from '../csi/volume-data.ts';
import { writePayload } from './atomic-files.ts';
import { prepareHostPath } from './host-path.ts';
import { isMountPoint, mountFilesystem, mountPointsWithin, unmountPath } from './mount-table.ts';
import { makeNestedMounts } from './nested-mounts.ts';
import { applyFsGroup } from './ownership.ts';
import { isProjection, volumePayload, type PayloadSources } from './projected-payload.ts';
import { ignoreMissing, removeTree } from './safe-remove.ts';
import type { TokenSource } from './service-account-token.ts';

/** Where a volume of a pod is on the node. */
export interface PodVolume {
  readonly hostPath: string;
  readonly isDevice: boolean;
  /** Whatever a container's mount says. */
  readonly readOnly: boolean;
}

export type PodVolumeMap = ReadonlyMap<string, PodVolume>;

/** A volume that could not be set up, named for the FailedMount event. */
export class VolumeSetupError extends Error {
  readonly code = 'VOLUME_SETUP';
  readonly volume: string;

  constructor(volume: string, cause: unknown) {
    super(`MountVolume.SetUp failed for volume "${volume}" : ${(cause as Error).message}`, { cause });
    this.name = 'VolumeSetupError';
    this.volume = volume;
  }
}

/** A volume in use that could not be grown; the pod runs on with it as it is. */
export class VolumeResizeError extends Error {
  readonly code = 'VOLUME_RESIZE';

  constructor(volume: string, cause: unknown) {
    super(`the filesystem of volume "${volume}" was not grown: ${(cause as Error).message}`, { cause });
    this.name = 'VolumeResizeError';
  }
}

export const isVolumeResizeError = (error: unknown): error is VolumeResizeError =>
  error instanceof VolumeResizeError;

export interface PodVolumesDeps {
  readonly kubeletRoot: string;
  readonly csi: CsiVolumes;
  readonly tokens: TokenSource;
  sources(pod: Pod): PayloadSources;
}

/** A pod's volumes. Each call may be repeated: what is there already is left as it is. */
export interface PodVolumes {
  /** Every volume of the spec, or the first failure as VolumeSetupError. */
  setup(pod: Pod, signal: AbortSignal): Promise<PodVolumeMap>;
  /** Writes files from the API anew where they changed, and finishes growths: else VolumeResizeError. */
  refresh(pod: Pod, signal: AbortSignal): Promise<void>;
  /** Whether anything of the pod is mounted, or recorded as published. */
  isOnDisk(podUid: string): Promise<boolean>;
  hasFiles(podUid: string): Promise<boolean>;
  teardown(podUid: string, signal: AbortSignal): Promise<void>;
  removeFiles(podUid: string): Promise<void>;
}

const volumesAtOnce = 4;
const projectedPlugins = {
  configMap: 'kubernetes.io~configmap',
  secret: 'kubernetes.io~secret',
  downwardAPI: 'kubernetes.io~downward-api',
  projected: 'kubernetes.io~projected',
} as const;

export function podVolumes(deps: PodVolumesDeps): PodVolumes {
  const { kubeletRoot, csi } = deps;
  return {
    async setup(pod, signal) {
      await mkdir(podFolder(kubeletRoot, pod.metadata?.uid ?? ''), { recursive: true, mode: 0o750 });
      const volumes = pod.spec?.volumes ?? [];
      const ready = await mapLimit(volumes, volumesAtOnce, async (volume): Promise<[string, PodVolume]> => {
        try {
          return [volume.name, await setupVolume(deps, pod, volume, signal)];
        } catch (error) {
          signal.throwIfAborted();
          throw new VolumeSetupError(volume.name, error);
        }
      });
      const found = new Map(ready);
      const ownFolders = new Set(
        volumes.filter((one) => isProjection(one) || one.emptyDir).map((one) => one.name),
      );
      await makeNestedMounts(pod, (name) => (ownFolders.has(name) ? found.get(name)?.hostPath : undefined));
      return found;
    },
    async refresh(pod, signal) {
      const uid = pod.metadata?.uid ?? '';
      for (const volume of pod.spec?.volumes ?? []) {
        try {
          if (isProjection(volume))
            await writeProjection(
              pod,
              volume,
              volumeFolder(kubeletRoot, uid, pluginOf(volume), volume.name),
              deps.sources(pod),
              signal,
            );
          else if (volume.persistentVolumeClaim)
            await csi.expand(pod, volume.persistentVolumeClaim.claimName, signal);
        } catch (error) {
          signal.throwIfAborted();
          const Failure = volume.persistentVolumeClaim ? VolumeResizeError : VolumeSetupError;
          throw new Failure(volume.name, error);
        }
      }
    },
    async isOnDisk(podUid) {
      if ((await publishedFor(kubeletRoot, podUid)).length > 0) return true;
      return (await mountPointsWithin(podFolder(kubeletRoot, podUid))).length > 0;
    },
    hasFiles: async (podUid) =>
      (await lstat(podFolder(kubeletRoot, podUid)).catch(ignoreMissing)) !== undefined,
    async teardown(podUid, signal) {
      const folder = podFolder(kubeletRoot, podUid);
      // Binds of sub-paths keep their volumes busy, so they go before the drivers are asked.
      for (const point of await mountPointsWithin(join(folder, 'volume-subpaths')))
        await unmountPath(point, signal);
      await csi.teardown(podUid, signal);
      for (const point of await mountPointsWithin(folder)) await unmountPath(point, signal);
      deps.tokens.forget(podUid);
    },
    removeFiles: async (podUid) =>
      await removeTree(podFolder(kubeletRoot, podUid), join(kubeletRoot, 'pods')),
  };
}

const volumeFolder = (kubeletRoot: string, podUid: string, plugin: string, name: string): string =>
  join(podFolder(kubeletRoot, podUid), 'volumes', plugin, name);

async function setupVolume(
  { kubeletRoot, csi, sources }: PodVolumesDeps,
  pod: Pod,
  volume: Volume,
  signal: AbortSignal,
): Promise<PodVolume> {
  const uid = pod.metadata?.uid ?? '';
  if (volume.hostPath) {
    await prepareHostPath(volume.hostPath.path, volume.hostPath.type);
    // The runtime refuses a source that is a symlink's text; what it leads to is meant.
    const hostPath = (await realpath(volume.hostPath.path).catch(ignoreMissing)) ?? volume.hostPath.path;
    return { hostPath, isDevice: false, readOnly: false };
  }
  if (volume.persistentVolumeClaim) {
    const { claimName, readOnly = false } = volume.persistentVolumeClaim;
    return await csi.setup(pod, claimName, readOnly, signal);
  }
  if (isProjection(volume)) {
    const hostPath = volumeFolder(kubeletRoot, uid, pluginOf(volume), volume.name);
    await writeProjection(pod, volume, hostPath, sources(pod), signal);
    return { hostPath, isDevice: false, readOnly: true };
  }
  if (volume.emptyDir) {
    const hostPath = volumeFolder(kubeletRoot, uid, 'kubernetes.io~empty-dir', volume.name);
    await prepareEmptyDir(pod, volume.emptyDir, hostPath, signal);
    return { hostPath, isDevice: false, readOnly: false };
  }
  throw new Error(
    `no volume plugin matched: ${Object.keys(volume)
      .filter((key) => key !== 'name')
      .join(', ')}`,
  );
}

function pluginOf(volume: Volume): string {
  for (const kind of ['configMap', 'secret', 'downwardAPI', 'projected'] as const)
    if (volume[kind]) return projectedPlugins[kind];
  throw new Error(`volume ${volume.name} is no projection`);
}

async function writeProjection(
  pod: Pod,
  volume: Volume,
  folder: string,
  sources: PayloadSources,
  signal: AbortSignal,
): Promise<void> {
  const payload = await volumePayload(pod, volume, sources, signal);
  const secret = volume.secret !== undefined || volume.projected !== undefined;
  // Secrets live in memory only: they must not survive a power cut on a disk.
  if (secret && !(await isMountPoint(folder))) {
    await mkdir(folder, { recursive: true, mode: 0o755 });
    await mountFilesystem(['-t', 'tmpfs', '-o', 'mode=0755,size=64m', 'tmpfs', folder], signal);
  }
  const gid = pod.spec?.securityContext?.fsGroup;
  await writePayload(folder, payload, async (fresh) => {
    if (gid !== undefined) await applyFsGroup(fresh, { gid, readOnly: true, onRootMismatch: false }, signal);
  });
}

async function prepareEmptyDir(
  pod: Pod,
  source: EmptyDirVolumeSource,
  folder: string,
  signal: AbortSignal,
): Promise<void> {
  const existed = await lstat(folder).catch(ignoreMissing);
  await mkdir(dirname(folder), { recursive: true, mode: 0o750 });
  await mkdir(folder, { recursive: true, mode: 0o777 });
  if (source.medium === 'Memory') {
    if (await isMountPoint(folder)) return;
    const limit = source.sizeLimit === undefined ? 0n : (parseBytes(source.sizeLimit) ?? 0n);
    const options = `mode=0777${limit > 0n ? `,size=${limit}` : ''}`;
    await mountFilesystem(['-t', 'tmpfs', '-o', options, 'tmpfs', folder], signal);
  } else if (existed) return;
  else if (source.medium) throw new Error(`unknown storage medium "${source.medium}"`);
  const gid = pod.spec?.securityContext?.fsGroup;
  await chmod(folder, 0o777);
  if (gid === undefined) return;
  await chown(folder, 0, gid);
  await chmod(folder, 0o2777);
}

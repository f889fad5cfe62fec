import {
  NodeServiceCapability_RPC_Type as Rpc,
  type Node,
  type NodeStageVolumeRequest,
  type VolumeCapability,
} from '../gen/csi/v1/csi_pb.js';
import type { FilesystemType } from '../host/filesystems.ts';
import { mountAt } from '../host/mounts.ts';
import { withDeadline } from '../lib/deadline.ts';
import { Code, RpcError, type UnaryHandlers } from '../lib/grpc.ts';
import { keyedLock } from '../lib/keyed-lock.ts';
import { checkCapabilities, isBlock, isReadOnly, isSingleNode, isSinglePod } from './capability.ts';
import type { ClusterConfig } from './cluster-config.ts';
import { credentialsOf } from './clusters.ts';
import { decodeHandle } from './handle.ts';
import type { AttachBody } from './mounter/protocol.ts';
import { checkNodePath } from './node/node-path.ts';
import { publishDevice, publishMount, unpublish } from './node/publish.ts';
import { stagedDevice, volumeCondition } from './node/volume-condition.ts';
import { stageVolume, unstageVolume, type StageDeps } from './node/stage.ts';
import { volumeUsage } from './node/usage.ts';
import { attacherNamed, imageFeatures, refuseAttributes } from './parameters.ts';

export interface NodeServiceDeps extends StageDeps {
  readonly nodeId: string;
  readonly kubeletRoot: string;
  readonly clusters: ClusterConfig;
  readonly now: () => number;
}

const callTimeoutMs = 110_000; // Below kubelet's two minutes, so that the reason reaches it.
const defaultFsType = 'ext4';
const capabilities = [
  Rpc.STAGE_UNSTAGE_VOLUME,
  Rpc.GET_VOLUME_STATS,
  Rpc.VOLUME_CONDITION,
  Rpc.EXPAND_VOLUME,
  Rpc.SINGLE_NODE_MULTI_WRITER,
];

/** CSI's Node service for RBD: devices by the mounter, filesystems and binds here. */
export function nodeService(deps: NodeServiceDeps): Partial<UnaryHandlers<typeof Node.method>> {
  const { kubeletRoot, mounts, now } = deps;
  const locks = keyedLock(now);
  const holding = async <T>(
    volumeId: string,
    what: string,
    signal: AbortSignal,
    body: (signal: AbortSignal) => Promise<T>,
  ): Promise<T> => {
    if (volumeId === '') throw new RpcError(Code.INVALID_ARGUMENT, 'volume_id is empty');
    using _held = locks.take(volumeId, what);
    return await withDeadline(what, callTimeoutMs, signal, body);
  };
  const path = (field: string, value: string) => checkNodePath(field, value, kubeletRoot);
  return {
    async nodeStageVolume(request, { signal }) {
      const { volumeId } = request;
      const stagingPath = path('staging_target_path', request.stagingTargetPath);
      checkCapabilities([request.volumeCapability]);
      await holding(volumeId, `NodeStageVolume of ${volumeId}`, signal, async (own) => {
        const capability = request.volumeCapability as VolumeCapability;
        const attach = await attachRequest(request, capability, deps);
        const { clusterId, pool, namespace } = attach;
        const image = { clusterId, pool, ...(namespace ? { namespace } : {}), image: attach.image };
        const mount = capability.accessType.case === 'mount' ? capability.accessType.value : undefined;
        await stageVolume(
          {
            volumeId,
            image,
            stagingPath,
            block: isBlock(capability),
            fsType: fsTypeOf(mount?.fsType),
            attach,
            mountFlags: mount?.mountFlags ?? [],
          },
          deps,
          own,
        );
      });
      return {};
    },
    async nodeUnstageVolume({ volumeId, stagingTargetPath }, { signal }) {
      const stagingPath = path('staging_target_path', stagingTargetPath);
      await holding(volumeId, `NodeUnstageVolume of ${volumeId}`, signal, (own) =>
        unstageVolume(volumeId, stagingPath, deps, own),
      );
      return {};
    },
    async nodePublishVolume(request, { signal }) {
      const { volumeId, readonly } = request;
      const target = path('target_path', request.targetPath);
      const capability = request.volumeCapability;
      checkCapabilities([capability]);
      if (!capability) return {};
      if (request.stagingTargetPath === '')
        throw new RpcError(Code.FAILED_PRECONDITION, 'staging_target_path is missing');
      const stagingPath = path('staging_target_path', request.stagingTargetPath);
      await holding(volumeId, `NodePublishVolume of ${volumeId}`, signal, async (own) => {
        const wanted = {
          stagingPath,
          target,
          readOnly: readonly || isReadOnly(capability),
          single: isSinglePod(capability),
        };
        if (!isBlock(capability)) return await publishMount(wanted, mounts, own);
        await publishDevice(await deviceOf(volumeId, deps, own), wanted, mounts, own);
      });
      return {};
    },
    async nodeUnpublishVolume({ volumeId, targetPath }, { signal }) {
      const target = path('target_path', targetPath);
      await holding(volumeId, `NodeUnpublishVolume of ${volumeId}`, signal, (own) =>
        unpublish(target, mounts, own),
      );
      return {};
    },
    async nodeGetVolumeStats({ volumeId, volumePath }, { signal }) {
      if (volumeId === '') throw new RpcError(Code.INVALID_ARGUMENT, 'volume_id is empty');
      if (volumePath === '') throw new RpcError(Code.INVALID_ARGUMENT, 'volume_path is empty');
      return await volumeReport(volumeId, volumePath, deps, signal);
    },
    async nodeExpandVolume({ volumeId, volumePath, capacityRange }, { signal }) {
      if (volumePath === '') throw new RpcError(Code.INVALID_ARGUMENT, 'volume_path is empty');
      const bytes = capacityRange?.requiredBytes ?? 0n;
      return await holding(volumeId, `NodeExpandVolume of ${volumeId}`, signal, (own) =>
        expandVolume({ volumeId, volumePath, bytes }, deps, own),
      );
    },
    nodeGetCapabilities: () =>
      Promise.resolve({
        capabilities: capabilities.map((type) => ({ type: { case: 'rpc' as const, value: { type } } })),
      }),
    nodeGetInfo: () => Promise.resolve({ nodeId: deps.nodeId }),
  };
}

/** The image and how to reach it, from what the PV carries. */
async function attachRequest(
  request: NodeStageVolumeRequest,
  capability: VolumeCapability,
  { clusters }: NodeServiceDeps,
): Promise<AttachBody> {
  const { volumeId, volumeContext, secrets } = request;
  refuseAttributes(volumeContext);
  const handle = volumeContext['staticVolume'] === 'true' ? undefined : decodeHandle(volumeId);
  const clusterId = volumeContext['clusterID'] ?? handle?.clusterId ?? '';
  const pool = volumeContext['pool'];
  if (!pool)
    throw new RpcError(
      Code.INVALID_ARGUMENT,
      'volume_context has no "pool": the PV was made by hand without it',
    );
  const entry = await clusters.cluster(clusterId);
  const { user, key } = credentialsOf(secrets);
  const attacher = attacherNamed(volumeContext['mounter']);
  const tryOthers = /^true$/i.test(volumeContext['tryOtherMounters'] ?? '');
  const namespace = volumeContext['radosNamespace'] || entry.radosNamespace;
  return {
    clusterId,
    pool,
    ...(namespace ? { namespace } : {}),
    image: volumeContext['imageName'] ?? (handle ? `csi-vol-${handle.uuid}` : volumeId),
    monHost: entry.monitors.join(','),
    user,
    key,
    readOnly: isReadOnly(capability) && !isSingleNode(capability),
    exclusive: isSingleNode(capability),
    features: [...imageFeatures(volumeContext)],
    ...(attacher ? { attacher, tryOthers } : {}),
  };
}

function fsTypeOf(text: string | undefined): string {
  const fsType = text || defaultFsType;
  if (fsType !== 'ext4' && fsType !== 'xfs')
    throw new RpcError(Code.INVALID_ARGUMENT, `fsType ${JSON.stringify(fsType)}: ext4 and xfs are supported`);
  return fsType;
}

/** Lets the device, and the filesystem on it, see the image's new size. Answers it. */
async function expandVolume(
  wanted: { readonly volumeId: string; readonly volumePath: string; readonly bytes: bigint },
  deps: NodeServiceDeps,
  signal: AbortSignal,
) {
  const { volumeId, volumePath, bytes } = wanted;
  const volume = await deps.staged.read(volumeId);
  if (!volume || (!volume.block && !mountAt(await deps.mounts.list(), volumePath)))
    throw new RpcError(Code.NOT_FOUND, `volume ${volumeId} is not at ${volumePath} on this node`);
  const { device } = await deviceOf(volumeId, deps, signal);
  const capacityBytes = await deps.mounter.resize(volume.image, bytes, signal);
  if (!volume.block)
    await deps.filesystems.grow(device, volume.fsType as FilesystemType, volume.stagingPath, signal);
  return { capacityBytes };
}

async function deviceOf(volumeId: string, deps: NodeServiceDeps, signal: AbortSignal) {
  const device = await stagedDevice(volumeId, deps, signal);
  if (!device) throw new RpcError(Code.FAILED_PRECONDITION, `volume ${volumeId} is not staged on this node`);
  return device;
}

/** How full the volume is, and whether it works; of one that does not its filesystem answers nothing. */
const volumeReport = (volumeId: string, volumePath: string, deps: NodeServiceDeps, signal: AbortSignal) =>
  withDeadline('NodeGetVolumeStats', 20_000, signal, async (own) => {
    const condition = await volumeCondition(volumeId, deps, own);
    const stats = condition.abnormal ? { usage: [] } : await volumeUsage(volumePath, deps.mounts);
    return { ...stats, volumeCondition: condition };
  });

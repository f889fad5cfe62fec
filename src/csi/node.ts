import {
  NodeServiceCapability_RPC_Type as Rpc,
  type Node,
  type NodeStageVolumeRequest,
  type VolumeCapability,
} from '../gen/csi/v1/csi_pb.js';
import { filesystemTypes, isFilesystemType, type FilesystemType } from '../host/filesystems.ts';
import { mountAt } from '../host/mounts.ts';
import { withDeadline } from '../lib/deadline.ts';
import { Code, RpcError, type UnaryHandlers } from '../lib/grpc.ts';
import { checkCapability, isBlock, isReadOnly, isSingleNode, isSinglePod } from './capability.ts';
import type { ClusterConfig } from './cluster-config.ts';
import { credentialsOf } from './clusters.ts';
import { decodeHandle } from './handle.ts';
import { heldCalls, type HoldCall } from './held-call.ts';
import type { AttachBody } from './mounter/protocol.ts';
import { needField } from './need-field.ts';
import { checkNodePath } from './node/node-path.ts';
import { publishDevice, publishMount, unpublish } from './node/publish.ts';
import { stagedDevice, volumeCondition } from './node/volume-condition.ts';
import { stageVolume, unstageVolume, type StageDeps } from './node/stage.ts';
import { volumeUsage } from './node/usage.ts';
import { attacherNamed, imageFeatures, isTrue, refuseEncrypted } from './parameters.ts';

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

/** What the functions below share. */
interface NodeCalls extends NodeServiceDeps {
  readonly hold: HoldCall;
}

type Calls = UnaryHandlers<typeof Node.method>;
type StagingCalls = Pick<Calls, 'nodeStageVolume' | 'nodeUnstageVolume'>;
type PublishCalls = Pick<Calls, 'nodePublishVolume' | 'nodeUnpublishVolume'>;
type StagedVolumeCalls = Pick<Calls, 'nodeGetVolumeStats' | 'nodeExpandVolume'>;

/** CSI's Node service for RBD: devices by the mounter, filesystems and binds here. */
export function nodeService(deps: NodeServiceDeps): Partial<Calls> {
  const shared = { ...deps, hold: heldCalls(deps.now, callTimeoutMs) };
  return {
    ...stagingCalls(shared),
    ...publishCalls(shared),
    ...stagedVolumeCalls(shared),
    nodeGetCapabilities: () =>
      Promise.resolve({
        capabilities: capabilities.map((type) => ({ type: { case: 'rpc' as const, value: { type } } })),
      }),
    nodeGetInfo: () => Promise.resolve({ nodeId: deps.nodeId }),
  };
}

/** Once a node: the device, and the filesystem on it. */
function stagingCalls(shared: NodeCalls): StagingCalls {
  const { hold, kubeletRoot } = shared;
  return {
    async nodeStageVolume(request, { signal }) {
      const { volumeId, volumeCapability: capability } = request;
      needField('volume_id', volumeId);
      const stagingPath = checkNodePath('staging_target_path', request.stagingTargetPath, kubeletRoot);
      checkCapability(capability);
      await hold(volumeId, `NodeStageVolume of ${volumeId}`, signal, async (own) => {
        const attach = await attachRequest(request, capability, shared);
        const { clusterId, pool, namespace, image } = attach;
        const mount = capability.accessType.case === 'mount' ? capability.accessType.value : undefined;
        await stageVolume(
          {
            volumeId,
            image: { clusterId, pool, ...(namespace ? { namespace } : {}), image },
            stagingPath,
            block: isBlock(capability),
            fsType: fsTypeOf(mount?.fsType),
            attach,
            mountFlags: mount?.mountFlags ?? [],
          },
          shared,
          own,
        );
      });
      return {};
    },
    async nodeUnstageVolume({ volumeId, stagingTargetPath }, { signal }) {
      needField('volume_id', volumeId);
      const stagingPath = checkNodePath('staging_target_path', stagingTargetPath, kubeletRoot);
      await hold(volumeId, `NodeUnstageVolume of ${volumeId}`, signal, (own) =>
        unstageVolume(volumeId, stagingPath, shared, own),
      );
      return {};
    },
  };
}

/** Once a pod: what is staged, bound to the pod's path. */
function publishCalls(shared: NodeCalls): PublishCalls {
  const { hold, kubeletRoot, mounts } = shared;
  return {
    async nodePublishVolume(request, { signal }) {
      const { volumeId, readonly, volumeCapability: capability } = request;
      needField('volume_id', volumeId);
      const target = checkNodePath('target_path', request.targetPath, kubeletRoot);
      checkCapability(capability);
      if (request.stagingTargetPath === '')
        throw new RpcError(Code.FAILED_PRECONDITION, 'staging_target_path is missing');
      const stagingPath = checkNodePath('staging_target_path', request.stagingTargetPath, kubeletRoot);
      const readOnly = readonly || isReadOnly(capability);
      const wanted = { stagingPath, target, readOnly, single: isSinglePod(capability) };
      await hold(volumeId, `NodePublishVolume of ${volumeId}`, signal, async (own) => {
        if (!isBlock(capability)) return await publishMount(wanted, mounts, own);
        await publishDevice(await deviceOf(volumeId, shared, own), wanted, mounts, own);
      });
      return {};
    },
    async nodeUnpublishVolume({ volumeId, targetPath }, { signal }) {
      needField('volume_id', volumeId);
      const target = checkNodePath('target_path', targetPath, kubeletRoot);
      await hold(volumeId, `NodeUnpublishVolume of ${volumeId}`, signal, (own) =>
        unpublish(target, mounts, own),
      );
      return {};
    },
  };
}

/** What is asked of a volume while it is staged. */
function stagedVolumeCalls(shared: NodeCalls): StagedVolumeCalls {
  return {
    async nodeGetVolumeStats({ volumeId, volumePath }, { signal }) {
      needField('volume_id', volumeId);
      needField('volume_path', volumePath);
      return await volumeReport(volumeId, volumePath, shared, signal);
    },
    async nodeExpandVolume({ volumeId, volumePath, capacityRange }, { signal }) {
      needField('volume_id', volumeId);
      needField('volume_path', volumePath);
      const bytes = capacityRange?.requiredBytes ?? 0n;
      return await shared.hold(volumeId, `NodeExpandVolume of ${volumeId}`, signal, (own) =>
        expandVolume({ volumeId, volumePath, bytes }, shared, own),
      );
    },
  };
}

/** The image and how to reach it, from what the PV carries. */
async function attachRequest(
  request: NodeStageVolumeRequest,
  capability: VolumeCapability,
  { clusters }: NodeServiceDeps,
): Promise<AttachBody> {
  const { volumeId, volumeContext, secrets } = request;
  refuseEncrypted(volumeContext);
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
  const tryOthers = isTrue(volumeContext['tryOtherMounters']);
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

function fsTypeOf(text: string | undefined): FilesystemType {
  const fsType = text || defaultFsType;
  if (isFilesystemType(fsType)) return fsType;
  throw new RpcError(
    Code.INVALID_ARGUMENT,
    `fsType ${JSON.stringify(fsType)}: ${filesystemTypes.join(' and ')} are supported`,
  );
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
  if (!volume.block) await deps.filesystems.grow(device, volume.fsType, volume.stagingPath, signal);
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

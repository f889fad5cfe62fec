import { VolumeCapability_AccessMode_Mode as Mode, type VolumeCapability } from '../gen/csi/v1/csi_pb.js';
import { Code, RpcError } from '../lib/grpc.ts';

export const isBlock = (capability: VolumeCapability): boolean => capability.accessType.case === 'block';

const modes: ReadonlySet<Mode> = new Set([
  Mode.SINGLE_NODE_WRITER,
  Mode.SINGLE_NODE_READER_ONLY,
  Mode.SINGLE_NODE_SINGLE_WRITER,
  Mode.SINGLE_NODE_MULTI_WRITER,
  Mode.MULTI_NODE_READER_ONLY,
  Mode.MULTI_NODE_SINGLE_WRITER,
  Mode.MULTI_NODE_MULTI_WRITER,
]);
const singleNode: ReadonlySet<Mode> = new Set([
  Mode.SINGLE_NODE_WRITER,
  Mode.SINGLE_NODE_READER_ONLY,
  Mode.SINGLE_NODE_SINGLE_WRITER,
  Mode.SINGLE_NODE_MULTI_WRITER,
]);

const modeOf = (capability: VolumeCapability): Mode => capability.accessMode?.mode ?? Mode.UNKNOWN;

/** Whether one node at a time has the volume. */
export const isSingleNode = (capability: VolumeCapability): boolean => singleNode.has(modeOf(capability));

/** Whether one pod at a time has it: ReadWriteOncePod. */
export const isSinglePod = (capability: VolumeCapability): boolean =>
  modeOf(capability) === Mode.SINGLE_NODE_SINGLE_WRITER;

export const isReadOnly = (capability: VolumeCapability): boolean =>
  [Mode.SINGLE_NODE_READER_ONLY, Mode.MULTI_NODE_READER_ONLY].includes(modeOf(capability));

/** Why an RBD image cannot be had this way, or undefined where it can. */
export function unsupported(capability: VolumeCapability): string | undefined {
  const mode = modeOf(capability);
  if (!modes.has(mode)) return 'the access mode is unknown';
  if (capability.accessType.case === undefined) return 'neither a mount nor a block device is asked for';
  const writers: Mode[] = [Mode.MULTI_NODE_MULTI_WRITER, Mode.MULTI_NODE_SINGLE_WRITER];
  if (!isBlock(capability) && writers.includes(mode)) {
    return 'a filesystem on an RBD image can be mounted read-write on one node only: use ReadWriteOnce, volumeMode Block, or a CephFS class for ReadWriteMany';
  }
  return undefined;
}

/** Throws InvalidArgument where it is missing or cannot be served. */
export function checkCapability(
  capability: VolumeCapability | undefined,
): asserts capability is VolumeCapability {
  const why = capability ? unsupported(capability) : 'volume_capability is missing';
  if (why) throw new RpcError(Code.INVALID_ARGUMENT, why);
}

/** The same for each, and there has to be one. */
export function checkCapabilities(capabilities: readonly VolumeCapability[]): void {
  if (capabilities.length === 0) throw new RpcError(Code.INVALID_ARGUMENT, 'volume_capabilities is empty');
  for (const capability of capabilities) checkCapability(capability);
}

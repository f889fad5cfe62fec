import {
  type Controller,
  ControllerServiceCapability_RPC_Type as Rpc,
  type CapacityRange,
  type VolumeCapability,
} from '../gen/csi/v1/csi_pb.js';
import { withDeadline } from '../lib/deadline.ts';
import { Code, RpcError, type UnaryHandlers } from '../lib/grpc.ts';
import { checkCapabilities, checkCapability, isSingleNode, unsupported } from './capability.ts';
import type { Secrets } from './clusters.ts';
import { decodeHandle, isHandleError } from './handle.ts';
import { heldCalls, type HoldCall } from './held-call.ts';
import { needField } from './need-field.ts';
import { parseRbdParameters, refuseEncrypted } from './parameters.ts';
import { staticImageOf, type StaticImage, type StaticImages } from './rbd/static-images.ts';
import type { RbdVolumes } from './rbd/volumes.ts';

export interface ControllerDeps {
  readonly volumes: RbdVolumes;
  readonly images: StaticImages;
  readonly now: () => number;
  /** Whether a node of that id exists; every one does where not given. */
  readonly nodeExists?: (node: string, signal: AbortSignal) => Promise<boolean>;
  /** Which start of its kernel a node is in; undefined where that is not known. */
  readonly bootIdOf?: (node: string, signal: AbortSignal) => Promise<string | undefined>;
}

const callTimeoutMs = 60_000;
const defaultBytes = 1024n ** 3n;
const mib = 1024n * 1024n;
const maxNameBytes = 128;

const capabilities = [
  Rpc.CREATE_DELETE_VOLUME,
  Rpc.PUBLISH_UNPUBLISH_VOLUME,
  Rpc.EXPAND_VOLUME,
  Rpc.SINGLE_NODE_MULTI_WRITER,
];

type Calls = UnaryHandlers<typeof Controller.method>;
type VolumeCalls = Pick<Calls, 'createVolume' | 'deleteVolume' | 'controllerExpandVolume'>;
type PublishCalls = Pick<
  Calls,
  'controllerPublishVolume' | 'controllerUnpublishVolume' | 'validateVolumeCapabilities'
>;
/** What of CSI's Controller service there is; the rest answers UNIMPLEMENTED. */
export type ControllerService = VolumeCalls & PublishCalls & Pick<Calls, 'controllerGetCapabilities'>;

/** CSI's Controller service for RBD. Failures are RpcErrors, or are made so by `rpcFailure`. */
export function controllerService(deps: ControllerDeps): ControllerService {
  const hold = heldCalls(deps.now, callTimeoutMs);
  return {
    ...volumeCalls(deps, hold),
    ...publishCalls(deps, hold),
    controllerGetCapabilities: () =>
      Promise.resolve({
        capabilities: capabilities.map((type) => ({ type: { case: 'rpc' as const, value: { type } } })),
      }),
  };
}

/** A volume's life: made, grown, removed. */
function volumeCalls({ volumes }: ControllerDeps, hold: HoldCall): VolumeCalls {
  return {
    async createVolume(request, { signal }) {
      const { name } = request;
      needField('name', name);
      if (Buffer.byteLength(name) > maxNameBytes)
        throw new RpcError(Code.INVALID_ARGUMENT, `name is longer than ${maxNameBytes} bytes`);
      checkCapabilities(request.volumeCapabilities);
      if (request.volumeContentSource)
        throw new RpcError(
          Code.INVALID_ARGUMENT,
          'volume_content_source: clones and restores are not supported yet',
        );
      const parameters = parseRbdParameters(request.parameters);
      const { bytes, limitBytes } = requestedBytes(request.capacityRange);
      const made = await hold(name, `CreateVolume of ${name}`, signal, (own) =>
        volumes.create({ name, parameters, bytes, limitBytes }, request.secrets, own),
      );
      return {
        volume: { volumeId: made.handle, capacityBytes: made.bytes, volumeContext: { ...made.context } },
      };
    },
    async deleteVolume({ volumeId, secrets }, { signal }) {
      needField('volume_id', volumeId);
      if (!isOurs(volumeId)) return {}; // What we never made is gone.
      await hold(volumeId, `DeleteVolume of ${volumeId}`, signal, (own) =>
        volumes.remove(volumeId, secrets, own),
      );
      return {};
    },
    async controllerExpandVolume({ volumeId, capacityRange, secrets }, { signal }) {
      needField('volume_id', volumeId);
      if (!capacityRange) throw new RpcError(Code.INVALID_ARGUMENT, 'capacity_range is missing');
      const { bytes } = requestedBytes(capacityRange);
      if (!isOurs(volumeId)) throw notOurs(volumeId);
      const now = await hold(volumeId, `ControllerExpandVolume of ${volumeId}`, signal, (own) =>
        volumes.expand(volumeId, bytes, secrets, own),
      );
      // Of a device, too: the loop over qsd's file does not see by itself that the image grew.
      return { capacityBytes: now, nodeExpansionRequired: true };
    },
  };
}

/** A volume's use by nodes. */
function publishCalls(
  { volumes, images, nodeExists, bootIdOf }: ControllerDeps,
  hold: HoldCall,
): PublishCalls {
  const needVolume = async (
    volumeId: string,
    image: StaticImage | undefined,
    secrets: Secrets,
    signal: AbortSignal,
  ): Promise<void> => {
    const exists = image ? images.exists(image, secrets, signal) : volumes.exists(volumeId, secrets, signal);
    if (!(await exists)) throw new RpcError(Code.NOT_FOUND, `there is no volume ${volumeId}`);
  };
  return {
    async controllerPublishVolume(request, { signal }) {
      const { volumeId, nodeId, volumeCapability, secrets } = request;
      needField('volume_id', volumeId);
      needField('node_id', nodeId);
      checkCapability(volumeCapability);
      refuseEncrypted(request.volumeContext);
      const image = staticImage(volumeId, request.volumeContext);
      if (nodeExists && !(await nodeExists(nodeId, signal)))
        throw new RpcError(Code.NOT_FOUND, `there is no node ${nodeId}`);
      await hold(volumeId, `ControllerPublishVolume of ${volumeId} to ${nodeId}`, signal, async (own) => {
        const single = isSingleNode(volumeCapability);
        const node = { name: nodeId, bootId: single ? await bootIdOf?.(nodeId, own) : undefined };
        if (single && image) await images.attach(image, node, secrets, own);
        else if (single) await volumes.attach(volumeId, node, secrets, own);
        else await needVolume(volumeId, image, secrets, own);
      });
      return { publishContext: {} };
    },
    async controllerUnpublishVolume({ volumeId, nodeId, secrets }, { signal }) {
      needField('volume_id', volumeId);
      const ours = isOurs(volumeId);
      if (!ours && Object.keys(secrets).length === 0) return {}; // Nothing is attached without any.
      const node = nodeId === '' ? undefined : nodeId;
      await hold(volumeId, `ControllerUnpublishVolume of ${volumeId}`, signal, (own) =>
        (ours ? volumes : images).detach(volumeId, node, secrets, own),
      );
      return {};
    },
    async validateVolumeCapabilities(request, { signal }) {
      const { volumeId, secrets } = request;
      needField('volume_id', volumeId);
      if (request.volumeCapabilities.length === 0)
        throw new RpcError(Code.INVALID_ARGUMENT, 'volume_capabilities is empty');
      const image = staticImage(volumeId, request.volumeContext);
      await withDeadline('ValidateVolumeCapabilities', callTimeoutMs, signal, (own) =>
        needVolume(volumeId, image, secrets, own),
      );
      const why = request.volumeCapabilities
        .map((one: VolumeCapability) => unsupported(one))
        .find((text) => text !== undefined);
      if (why !== undefined) return { message: why };
      const { volumeContext, volumeCapabilities, parameters } = request;
      return { confirmed: { volumeContext, volumeCapabilities, parameters } };
    },
  };
}

const notOurs = (volumeId: string): RpcError =>
  new RpcError(
    Code.NOT_FOUND,
    `there is no volume ${volumeId}: the id was not made by this driver. A PV of an image made by hand is attached with staticVolume: "true" in its volumeAttributes, and grown by \`rbd resize\``,
  );

/** The image of a static volume; undefined for a volume of ours. NotFound where the id is neither. */
function staticImage(volumeId: string, context: Readonly<Record<string, string>>): StaticImage | undefined {
  if (isOurs(volumeId)) return undefined;
  const image = staticImageOf(volumeId, context);
  if (!image) throw notOurs(volumeId);
  return image;
}

function isOurs(volumeId: string): boolean {
  try {
    decodeHandle(volumeId);
    return true;
  } catch (error) {
    if (isHandleError(error)) return false;
    throw error;
  }
}

/** Whole MiB, rounded up; OutOfRange where that is above the limit. */
function requestedBytes(range: Pick<CapacityRange, 'requiredBytes' | 'limitBytes'> | undefined): {
  bytes: bigint;
  limitBytes: bigint;
} {
  const required = range?.requiredBytes ?? 0n;
  const limitBytes = range?.limitBytes ?? 0n;
  if (required < 0n || limitBytes < 0n)
    throw new RpcError(Code.OUT_OF_RANGE, 'capacity_range has a negative size');
  if (limitBytes > 0n && limitBytes < required)
    throw new RpcError(Code.OUT_OF_RANGE, `limit_bytes ${limitBytes} is below required_bytes ${required}`);
  const wanted =
    required > 0n ? required : limitBytes > 0n && limitBytes < defaultBytes ? limitBytes : defaultBytes;
  const up = ((wanted + mib - 1n) / mib) * mib;
  const bytes = limitBytes > 0n && up > limitBytes ? (limitBytes / mib) * mib : up;
  if (bytes === 0n || bytes < required)
    throw new RpcError(
      Code.OUT_OF_RANGE,
      `no whole number of MiB lies between ${required} and ${limitBytes} bytes`,
    );
  return { bytes, limitBytes };
}

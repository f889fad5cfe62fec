/**
 * What a volume id says, in ceph-csi's encoding, so that volumes move in and out:
 * `VVVV-LLLL-<clusterID>-<16 hex digits>-<36 characters of uuid>`, VVVV the version (0001), LLLL the hex
 * length of clusterID, the 16 digits the pool's id (RBD) or the filesystem's, big-endian.
 */
export interface VolumeHandle {
  readonly clusterId: string;
  readonly locationId: bigint;
  readonly uuid: string;
}

const version = '0001';
const uuidLength = 36;
const fixedLength = 64; // All of it but the clusterID, separators included.
const maxLength = 128; // CSI's limit for ids.
const uuidPattern = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
const maxLocationId = 2n ** 63n - 1n;

/** An id that was not made by this driver nor by ceph-csi. */
export class HandleError extends Error {
  readonly code = 'BAD_VOLUME_HANDLE';

  constructor(handle: string, problem: string) {
    super(`volume id ${JSON.stringify(handle.slice(0, maxLength))} is not one of ours: ${problem}`);
    this.name = 'HandleError';
  }
}

export const isHandleError = (error: unknown): error is HandleError => error instanceof HandleError;
export const isUuid = (text: string): boolean => uuidPattern.test(text);

/** Throws HandleError where a part cannot be encoded. */
export function encodeHandle({ clusterId, locationId, uuid }: VolumeHandle): string {
  const length = Buffer.byteLength(clusterId);
  const problem =
    length === 0
      ? 'the clusterID is empty'
      : length + fixedLength > maxLength
        ? `the clusterID is longer than ${maxLength - fixedLength} bytes`
        : locationId < 0n || locationId > maxLocationId
          ? `the pool id ${locationId} is out of range`
          : isUuid(uuid)
            ? undefined
            : 'the uuid is malformed';
  if (problem) throw new HandleError(`${clusterId}/${locationId}/${uuid}`, problem);
  return [version, hex(BigInt(length), 4), clusterId, hex(locationId, 16), uuid].join('-');
}

/** Throws HandleError, which says what is wrong with it. */
export function decodeHandle(handle: string): VolumeHandle {
  const fail = (problem: string): never => {
    throw new HandleError(handle, problem);
  };
  const bytes = Buffer.from(handle);
  if (bytes.length <= fixedLength) fail('it is too short');
  if (bytes.length > maxLength) fail(`it is longer than ${maxLength} bytes`);
  const part = (from: number, to: number) => bytes.subarray(from, to).toString();
  if (part(0, 5) !== `${version}-`) fail(`its version is not ${version}`);
  if (!/^[0-9a-f]{4}-$/.test(part(5, 10))) fail('the length of its clusterID is not four hex digits');
  const length = Number.parseInt(part(5, 9), 16);
  if (bytes.length !== fixedLength + length) fail('its length does not fit the length of its clusterID');
  const poolAt = 10 + length + 1;
  const pool = part(poolAt, poolAt + 16);
  const uuidAt = poolAt + 17;
  if (part(poolAt - 1, poolAt) !== '-' || part(uuidAt - 1, uuidAt) !== '-')
    fail('its separators are not where they belong');
  if (!/^[0-9a-f]{16}$/.test(pool)) fail('its pool id is not 16 hex digits');
  const uuid = part(uuidAt, uuidAt + uuidLength);
  if (!isUuid(uuid)) fail('its uuid is malformed');
  return { clusterId: part(10, 10 + length), locationId: BigInt(`0x${pool}`), uuid };
}

/** 16 hex digits, as the journal writes pool ids too. */
export const hexId = (id: bigint): string => hex(id, 16);

const hex = (value: bigint, digits: number): string => value.toString(16).padStart(digits, '0');

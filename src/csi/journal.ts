import { createHash } from 'node:crypto';
import type { CephCallOptions, Ceph, PoolPlace } from '../ceph/seam.ts';
import { hexId, isUuid } from './handle.ts';

/**
 * ceph-csi's journal: which volume a request name stands for, kept in omaps, so that a CreateVolume that
 * comes again finds what the first one made. The same objects and keys as ceph-csi's: either reads the other's.
 *
 * - object `csi.volumes.default` in the journal pool: `csi.volume.<request name>` = `<uuid>`, or
 *   `<pool id, 16 hex digits>/<uuid>` where the image's pool is another one
 * - object `csi.volume.<uuid>` in the image's pool: csi.volname, csi.imagename, csi.imageid,
 *   csi.volume.owner, csi.journalpool (16 hex digits)
 *
 * Made in the order uuid object with its keys, directory key, image; undone in reverse: image, directory key,
 * uuid object. The uuid object goes last because it alone leads back from a volume id to the request name;
 * ceph-csi drops it before the directory key, and so forgets the key when it dies in between.
 * A uuid is made from the request name, so one that was taken right before dying is found again (ceph-csi
 * loses it), nobody else can take it, and two writers write the same: ceph-csi's exclusive create of the
 * object, a round trip of its own, is not needed.
 */
export interface JournalEntry {
  readonly requestName: string;
  readonly uuid: string;
  readonly imageName: string;
  readonly imageId?: string | undefined;
  readonly owner?: string | undefined;
  /** Where it is another pool than the image's. */
  readonly journalPoolId?: number | undefined;
}

export interface JournalPlaces {
  /** Where the directory is. */
  readonly journal: PoolPlace;
  readonly journalPoolId: number;
  /** Where the image and its uuid object are. */
  readonly image: PoolPlace;
  readonly imagePoolId: number;
}

export interface Reservation {
  readonly requestName: string;
  readonly namePrefix: string;
  readonly owner?: string | undefined;
}

const directoryObject = 'csi.volumes.default';
const uuidObject = (uuid: string): string => `csi.volume.${uuid}`;
const directoryKey = (requestName: string): string => `csi.volume.${requestName}`;
const keys = {
  name: 'csi.volname',
  image: 'csi.imagename',
  imageId: 'csi.imageid',
  owner: 'csi.volume.owner',
  journalPool: 'csi.journalpool',
} as const;

/** The journal says two different things; a person has to look, nothing is repaired by guessing. */
export class JournalError extends Error {
  readonly code = 'JOURNAL_INCONSISTENT';

  constructor(message: string) {
    super(message);
    this.name = 'JournalError';
  }
}

/**
 * The entry of a request name, made where its traces show none. The caller holds the name, so that no second call
 * of ours is in here; another driver's is kept out by the provisioner's Lease (docs/adr/0006).
 */
export async function reserve(
  ceph: Ceph,
  places: JournalPlaces,
  wanted: Reservation,
  { standing, taken }: Traces,
  options: CephCallOptions,
): Promise<JournalEntry> {
  if (standing) return await completeEntry(ceph, places, standing, wanted, options);

  const uuid = uuidOf(wanted.requestName);
  if (taken && taken.requestName !== wanted.requestName)
    throw new JournalError(
      `${uuidObject(uuid)} belongs to ${taken.requestName}, not to ${wanted.requestName}`,
    );
  const entry = await writeUuidKeys(ceph, places, uuid, wanted, options);
  const value =
    places.imagePoolId === places.journalPoolId ? uuid : `${hexId(BigInt(places.imagePoolId))}/${uuid}`;
  // A plain write, for a comparing one reads the directory object under its exclusive lock: one after the
  // other through the OSD, whatever the number in flight. Nobody else writes this key in between: the leader
  // alone provisions, under the Lease that ceph-csi's provisioner of this driver name takes too.
  const named = new Map([[directoryKey(wanted.requestName), value]]);
  await ceph.objects.omapSet(places.journal, directoryObject, named, options);
  return entry;
}

/** What earlier calls for a name left: its directory entry, and the uuid object that we would make. */
export interface Traces {
  readonly standing: { readonly uuid: string; readonly poolId?: number } | undefined;
  readonly taken: JournalEntry | undefined;
}

/** Reads both at once. Apart from `reserve`, for it needs no pool's id and can be read beside that. */
export async function readTraces(
  ceph: Ceph,
  places: Pick<JournalPlaces, 'journal' | 'image'>,
  requestName: string,
  options: CephCallOptions,
): Promise<Traces> {
  const [standing, taken] = await Promise.all([
    readDirectory(ceph, places.journal, requestName, options),
    readEntry(ceph, places.image, uuidOf(requestName), options),
  ]);
  return { standing, taken };
}

/** The entry that a volume id's uuid leads to, or undefined where the journal knows none. */
export async function readEntry(
  ceph: Ceph,
  image: PoolPlace,
  uuid: string,
  options: CephCallOptions,
): Promise<JournalEntry | undefined> {
  const values = await ceph.objects.omapGet(image, uuidObject(uuid), Object.values(keys), options);
  const requestName = values.get(keys.name);
  if (requestName === undefined) return undefined;
  const journalPool = values.get(keys.journalPool);
  return {
    requestName,
    uuid,
    imageName: values.get(keys.image) ?? `csi-vol-${uuid}`,
    imageId: values.get(keys.imageId),
    owner: values.get(keys.owner),
    journalPoolId: journalPool === undefined ? undefined : Number.parseInt(journalPool, 16),
  };
}

/** ceph-csi's `csi.imageid`: lets an image be found by id once its name is gone into the trash. */
export async function rememberImageId(
  ceph: Ceph,
  image: PoolPlace,
  uuid: string,
  id: string,
  options: CephCallOptions,
): Promise<void> {
  await ceph.objects.omapSet(image, uuidObject(uuid), new Map([[keys.imageId, id]]), options);
}

/**
 * Forgets an entry whose image is gone. The directory key goes only where it still means this uuid: the
 * name may have been given to a new volume since.
 */
export async function forget(
  ceph: Ceph,
  journal: PoolPlace,
  image: PoolPlace,
  entry: Pick<JournalEntry, 'requestName' | 'uuid'>,
  options: CephCallOptions,
): Promise<void> {
  const standing = await readDirectory(ceph, journal, entry.requestName, options);
  if (standing?.uuid === entry.uuid)
    await ceph.objects.omapRemove(journal, directoryObject, [directoryKey(entry.requestName)], options);
  await ceph.objects.remove(image, uuidObject(entry.uuid), options);
}

async function readDirectory(ceph: Ceph, journal: PoolPlace, requestName: string, options: CephCallOptions) {
  const key = directoryKey(requestName);
  const value = (await ceph.objects.omapGet(journal, directoryObject, [key], options)).get(key);
  return value === undefined ? undefined : parseDirectoryValue(requestName, value);
}

function parseDirectoryValue(requestName: string, value: string): { uuid: string; poolId?: number } {
  const slash = value.indexOf('/');
  const uuid = value.slice(slash + 1);
  const pool = slash === -1 ? undefined : value.slice(0, slash);
  if (!isUuid(uuid) || (pool !== undefined && !/^[0-9a-f]{16}$/.test(pool)))
    throw new JournalError(`the journal's entry for ${requestName} is malformed: ${JSON.stringify(value)}`);
  return pool === undefined ? { uuid } : { uuid, poolId: Number.parseInt(pool, 16) };
}

/** The entry that the directory points at; its keys are written where an earlier call died before them. */
async function completeEntry(
  ceph: Ceph,
  places: JournalPlaces,
  standing: { uuid: string; poolId?: number },
  wanted: Reservation,
  options: CephCallOptions,
): Promise<JournalEntry> {
  const poolId = standing.poolId ?? places.journalPoolId;
  if (poolId !== places.imagePoolId)
    throw new JournalError(
      `volume ${wanted.requestName} is already in the pool with id ${poolId}, and was asked for in ${places.image.pool}`,
    );
  const entry = await readEntry(ceph, places.image, standing.uuid, options);
  if (!entry) return await writeUuidKeys(ceph, places, standing.uuid, wanted, options);
  if (entry.requestName !== wanted.requestName)
    throw new JournalError(
      `the journal's entry for ${wanted.requestName} leads to ${standing.uuid}, which belongs to ${entry.requestName}`,
    );
  return entry;
}

async function writeUuidKeys(
  ceph: Ceph,
  places: JournalPlaces,
  uuid: string,
  wanted: Reservation,
  options: CephCallOptions,
): Promise<JournalEntry> {
  const imageName = `${wanted.namePrefix}${uuid}`;
  const values = new Map<string, string>([
    [keys.name, wanted.requestName],
    [keys.image, imageName],
  ]);
  if (wanted.owner) values.set(keys.owner, wanted.owner);
  const apart = places.imagePoolId !== places.journalPoolId;
  if (apart) values.set(keys.journalPool, hexId(BigInt(places.journalPoolId)));
  await ceph.objects.omapSet(places.image, uuidObject(uuid), values, options);
  return {
    requestName: wanted.requestName,
    uuid,
    imageName,
    owner: wanted.owner,
    journalPoolId: apart ? places.journalPoolId : undefined,
  };
}

/** A name-based uuid (RFC 9562, version 8) of a request name. */
export function uuidOf(requestName: string): string {
  const bytes = createHash('sha256')
    .update('holdfast csi volume\0')
    .update(requestName)
    .digest()
    .subarray(0, 16);
  bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x80;
  bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80;
  const text = bytes.toString('hex');
  return [text.slice(0, 8), text.slice(8, 12), text.slice(12, 16), text.slice(16, 20), text.slice(20)].join(
    '-',
  );
}

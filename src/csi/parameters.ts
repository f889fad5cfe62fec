import { filesystemTypes, isFilesystemType } from '../host/filesystems.ts';
import { Code, RpcError } from '../lib/grpc.ts';

/** A StorageClass's parameters for RBD, ceph-csi's names, checked. */
export interface RbdParameters {
  readonly clusterId: string;
  readonly pool: string;
  readonly dataPool?: string | undefined;
  readonly features: readonly string[];
  readonly namePrefix: string;
  readonly stripeUnitBytes?: number | undefined;
  readonly stripeCount?: number | undefined;
  readonly objectSizeBytes?: number | undefined;
  /** The claim's namespace: ceph-csi's `csi.volume.owner`. */
  readonly owner?: string | undefined;
  /** What the PV's volumeAttributes carry: every parameter but the `csi.storage.k8s.io/` ones. */
  readonly context: Readonly<Record<string, string>>;
}

const known = [
  'clusterID',
  'pool',
  'dataPool',
  'imageFeatures',
  'mkfsOptions',
  'mounter',
  'tryOtherMounters',
  'mapOptions',
  'unmapOptions',
  'encrypted',
  'encryptionKMSID',
  'encryptionType',
  'stripeUnit',
  'stripeCount',
  'objectSize',
  'topologyConstrainedPools',
  'volumeNamePrefix',
  'snapshotNamePrefix',
  'fstype',
  'fsType',
  'imageFormat',
  'thickProvision',
  'cephLogDir',
  'cephLogStrategy',
] as const;
type Key = (typeof known)[number];

/** Kubernetes' own keys: secrets' names, fstype, and the claim's name that the provisioner adds. */
const kubernetesPrefix = 'csi.storage.k8s.io/';

const features = [
  'layering',
  'exclusive-lock',
  'object-map',
  'fast-diff',
  'deep-flatten',
  'journaling',
] as const;
const needs: Readonly<Record<string, string>> = {
  'object-map': 'exclusive-lock',
  'fast-diff': 'object-map',
  journaling: 'exclusive-lock',
};
/** librbd's own default set. Exclusive-lock is what lets Ceph fence a client that died. */
const defaultFeatures: readonly string[] = features.slice(0, 5);
/** ceph-csi's names of the ways to attach, and `qsd`. */
const mounters: ReadonlyMap<string, 'krbd' | 'rbd-nbd' | 'qsd'> = new Map([
  ['rbd', 'krbd'],
  ['krbd', 'krbd'],
  ['rbd-nbd', 'rbd-nbd'],
  ['qsd', 'qsd'],
]);
/** Taken, for classes of ceph-csi have them, but nothing here does anything by them. */
const idle: Readonly<Record<string, string>> = {
  encryptionKMSID: 'volumes are not encrypted',
  encryptionType: 'volumes are not encrypted',
  snapshotNamePrefix: 'there are no snapshots yet',
  cephLogDir: 'the node keeps no log of an attached image',
  cephLogStrategy: 'the node keeps no log of an attached image',
};

const refuse = (key: string, problem: string): never => {
  throw new RpcError(Code.INVALID_ARGUMENT, `parameter ${JSON.stringify(key)} ${problem}`);
};

/** Throws RpcError InvalidArgument that names the first wrong key and says what would be right. */
export function parseRbdParameters(given: Readonly<Record<string, string>>): RbdParameters {
  for (const key of Object.keys(given))
    if (!key.startsWith(kubernetesPrefix) && !(known as readonly string[]).includes(key))
      refuse(key, `is not known; known are ${known.join(', ')}`);
  const value = (key: Key) => given[key];
  for (const key of ['clusterID', 'pool'] as const) if (!value(key)) refuse(key, 'is missing or empty');
  for (const key of ['dataPool', 'volumeNamePrefix', 'topologyConstrainedPools'] as const)
    if (value(key) === '') refuse(key, 'is empty; leave it out or give it a value');
  for (const key of ['pool', 'dataPool'] as const) checkPoolName(key, value(key));
  refuseNotHonoured(value);
  checkFsType(given);

  const objectSizeBytes = positiveInteger('objectSize', value('objectSize'));
  if (
    objectSizeBytes !== undefined &&
    (!isPowerOfTwo(objectSizeBytes) || objectSizeBytes < 4096 || objectSizeBytes > 33_554_432)
  )
    refuse('objectSize', `is ${objectSizeBytes}; it must be a power of two from 4096 to 33554432 bytes`);
  const striping = parseStriping(value, objectSizeBytes ?? 4_194_304);
  const namePrefix = value('volumeNamePrefix') ?? 'csi-vol-';
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/.test(namePrefix))
    refuse(
      'volumeNamePrefix',
      `is ${JSON.stringify(namePrefix)}; letters, digits, dots, dashes and underscores are allowed, 64 at most`,
    );

  return {
    clusterId: given['clusterID'] ?? '',
    pool: given['pool'] ?? '',
    dataPool: value('dataPool'),
    features: parseFeatures(value('imageFeatures')),
    namePrefix,
    ...striping,
    objectSizeBytes,
    owner: given[`${kubernetesPrefix}pvc/namespace`] || undefined,
    context: Object.fromEntries(Object.entries(given).filter(([key]) => !key.startsWith(kubernetesPrefix))),
  };
}

/** Of an image's features, or of the class's list. Throws InvalidArgument. */
function parseFeatures(text: string | undefined): readonly string[] {
  if (text === undefined) return defaultFeatures;
  if (text === '') return [];
  const wanted = text.split(',').map((name) => name.trim());
  for (const name of wanted) {
    if (!(features as readonly string[]).includes(name))
      refuse('imageFeatures', `has ${JSON.stringify(name)}; known are ${features.join(', ')}`);
    const needed = needs[name];
    if (needed && !wanted.includes(needed))
      refuse('imageFeatures', `has ${name}, which needs ${needed} beside it`);
  }
  return [...new Set(wanted)];
}

/** The parameters that are set and change nothing, each with the reason. */
export const parametersWithoutEffect = (given: Readonly<Record<string, string>>): string[] =>
  Object.entries(idle)
    .filter(([key]) => given[key] !== undefined && given[key] !== '')
    .map(([key, why]) => `"${key}" has no effect: ${why}`);

/** A switch among a class's parameters or a PV's attributes; ceph-csi takes it in either case. */
export const isTrue = (text: string | undefined): boolean => text?.toLowerCase() === 'true';

/** The way to attach that a `mounter` names; undefined where it names none. */
export const attacherNamed = (mounter: string | undefined) => mounters.get(mounter ?? '');

/** Every feature that the image of a PV with these attributes has: a data pool and striping are features, too. */
export function imageFeatures(attributes: Readonly<Record<string, string>>): readonly string[] {
  return [
    ...parseFeatures(attributes['imageFeatures']),
    ...(attributes['dataPool'] ? ['data-pool'] : []),
    ...(attributes['stripeUnit'] ? ['striping'] : []),
  ];
}

/** Throws FailedPrecondition for a PV of another driver's whose bytes are encrypted: they would be misread here. */
export function refuseEncrypted(attributes: Readonly<Record<string, string>>): void {
  if (isTrue(attributes['encrypted']))
    throw new RpcError(
      Code.FAILED_PRECONDITION,
      'volumeAttributes have "encrypted": "true", but encrypted volumes are not supported yet',
    );
}

// A setting that would change where or how the bytes lie must never be dropped in silence.
function refuseNotHonoured(value: (key: Key) => string | undefined): void {
  for (const key of ['encrypted', 'thickProvision', 'tryOtherMounters'] as const) {
    const text = value(key);
    if (text !== undefined && !/^(true|false)$/i.test(text))
      refuse(key, `is ${JSON.stringify(text)}; it must be "true" or "false"`);
  }
  if (isTrue(value('encrypted')))
    refuse('encrypted', 'is "true", but encrypted volumes are not supported yet: remove it or use "false"');
  if (isTrue(value('thickProvision')))
    refuse('thickProvision', 'is "true", but images are always thin: remove it or use "false"');
  if (value('topologyConstrainedPools') !== undefined)
    refuse('topologyConstrainedPools', 'is not supported yet: use "pool", one class for each pool');
  for (const key of ['mapOptions', 'unmapOptions', 'mkfsOptions'] as const)
    if (value(key)) refuse(key, 'is not supported yet: remove it');
  const mounter = value('mounter');
  if (mounter && !attacherNamed(mounter))
    refuse('mounter', `is ${JSON.stringify(mounter)}; known are ${[...mounters.keys()].join(', ')}`);
  // No kernel does: better said before the image is made than on every node.
  const onlyKernel = attacherNamed(mounter) === 'krbd' && !isTrue(value('tryOtherMounters'));
  if (onlyKernel && parseFeatures(value('imageFeatures')).includes('journaling'))
    refuse(
      'mounter',
      `is ${JSON.stringify(mounter)}, but the kernel's client knows no journaling: take it out of imageFeatures, use "qsd", or set tryOtherMounters to "true"`,
    );
  const format = value('imageFormat');
  if (format !== undefined && format !== '2')
    refuse('imageFormat', `is ${JSON.stringify(format)}; only "2" is supported`);
}

function checkPoolName(key: Key, name: string | undefined): void {
  if (name !== undefined && !/^[^/@\s]{1,128}$/.test(name))
    refuse(key, `is ${JSON.stringify(name)}, which is no pool name`);
}

function positiveInteger(key: Key, text: string | undefined): number | undefined {
  if (text === undefined || text === '') return undefined;
  if (!/^[1-9][0-9]{0,15}$/.test(text))
    refuse(key, `is ${JSON.stringify(text)}; it must be a whole number of bytes above 0`);
  return Number(text);
}

function parseStriping(value: (key: Key) => string | undefined, objectSizeBytes: number) {
  const stripeUnitBytes = positiveInteger('stripeUnit', value('stripeUnit'));
  const stripeCount = positiveInteger('stripeCount', value('stripeCount'));
  if ((stripeUnitBytes === undefined) !== (stripeCount === undefined))
    refuse(
      stripeUnitBytes === undefined ? 'stripeUnit' : 'stripeCount',
      'is missing: stripeUnit and stripeCount go together',
    );
  if (stripeUnitBytes !== undefined && objectSizeBytes % stripeUnitBytes !== 0)
    refuse('stripeUnit', `is ${stripeUnitBytes}, which does not divide the object size ${objectSizeBytes}`);
  return { stripeUnitBytes, stripeCount };
}

// Formatting is the node's, long after: better said before the image is made.
function checkFsType(given: Readonly<Record<string, string>>): void {
  for (const key of [`${kubernetesPrefix}fstype`, 'fstype', 'fsType']) {
    const name = given[key];
    if (!name) continue;
    if (!isFilesystemType(name))
      refuse(key, `is ${JSON.stringify(name)}; known are ${filesystemTypes.join(', ')}`);
    return; // The others count for nothing where this one is given.
  }
}

const isPowerOfTwo = (n: number): boolean => Number.isInteger(Math.log2(n));

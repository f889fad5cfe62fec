import type { PersistentVolume, PersistentVolumeClaim } from 'kubernetes-types/core/v1.js';
import type { Stored } from '../../../api/resource.ts';
import type { Cache, IndexFunctions } from '../../../kube/cache.ts';
import { selectorMatches } from '../../../kube/selector.ts';
import { compareQuantity, parseQuantity } from '../../../lib/quantity.ts';

export type Volume = Stored<PersistentVolume>;
export type Claim = Stored<PersistentVolumeClaim>;

const betaClass = 'volume.beta.kubernetes.io/storage-class';

/** The claim's class: undefined where it may still be given the default, '' where it wants none. */
export const classOfClaim = (claim: Claim): string | undefined =>
  claim.metadata.annotations?.[betaClass] ?? claim.spec?.storageClassName;

const classOfVolume = (volume: Volume): string =>
  volume.metadata.annotations?.[betaClass] ?? volume.spec?.storageClassName ?? '';

const modeOf = (spec: { volumeMode?: string } | undefined) => spec?.volumeMode ?? 'Filesystem';

const claimKey = (ref: { readonly namespace?: string | undefined; readonly name?: string | undefined }) =>
  `${ref.namespace ?? ''}/${ref.name ?? ''}`;

const byClaim = 'claim';
const free = 'free'; // No key of a claim: those have a slash.

/** Volumes by the claim that they name, so that thousands of bound ones cost a new claim nothing. */
export const volumeIndexes: IndexFunctions<PersistentVolume> = {
  [byClaim]: ({ spec }) => [spec?.claimRef ? claimKey(spec.claimRef) : free],
};

/** The volumes whose claimRef names this claim, by whatever uid. */
export const volumesNaming = (volumes: Cache<PersistentVolume>, claim: Claim): readonly Volume[] =>
  volumes.byIndex(byClaim, claimKey(claim.metadata));

/** All volumes that could become this claim's: those that name it, and those that name none. */
export const volumesOpenTo = (volumes: Cache<PersistentVolume>, claim: Claim): readonly Volume[] => [
  ...volumesNaming(volumes, claim),
  ...volumes.byIndex(byClaim, free),
];

/** Whether the volume's claimRef names this claim: by uid where it has one, by name where it was set by hand. */
export function isClaimedBy(volume: Volume, claim: Claim): boolean {
  const ref = volume.spec?.claimRef;
  if (!ref || ref.name !== claim.metadata.name || ref.namespace !== claim.metadata.namespace) return false;
  return ref.uid === undefined || ref.uid === '' || ref.uid === claim.metadata.uid;
}

/** Why this volume cannot serve this claim, in the words of an event, or undefined where it can. */
export function mismatch(volume: Volume, claim: Claim): string | undefined {
  const wanted = parseQuantity(claim.spec?.resources?.requests?.['storage'] ?? '0');
  const there = parseQuantity(volume.spec?.capacity?.['storage'] ?? '0');
  if (!wanted || !there || compareQuantity(there, wanted) < 0) return 'requested PV is too small';
  if (classOfVolume(volume) !== (classOfClaim(claim) ?? '')) return 'storageClassName does not match';
  if (modeOf(volume.spec) !== modeOf(claim.spec)) return 'incompatible volumeMode';
  const modes = volume.spec?.accessModes ?? [];
  if (!(claim.spec?.accessModes ?? []).every((mode) => modes.includes(mode)))
    return 'incompatible accessMode';
  return undefined;
}

/**
 * The volume that Kubernetes' binder would take: one set aside for this claim first; then, among those
 * with the fewest access modes that hold the claim's, the smallest that is large enough.
 */
export function findVolume(
  volumes: readonly Volume[],
  claim: Claim,
  onlySetAside: boolean,
): Volume | undefined {
  const fitting = volumes.filter(
    (volume) => volume.metadata.deletionTimestamp === undefined && mismatch(volume, claim) === undefined,
  );
  const setAside = fitting.find((volume) => isClaimedBy(volume, claim));
  if (setAside || onlySetAside) return setAside;
  const free = fitting.filter(
    (volume) => !volume.spec?.claimRef && volume.status?.phase === 'Available' && isSelected(volume, claim),
  );
  return free.toSorted((a, b) => modeCount(a) - modeCount(b) || bySize(a, b) || byName(a, b))[0];
}

const modeCount = (volume: Volume) => volume.spec?.accessModes?.length ?? 0;
const byName = (a: Volume, b: Volume) => (a.metadata.name < b.metadata.name ? -1 : 1);
function bySize(a: Volume, b: Volume): number {
  const zero = { milli: 0n };
  const size = (volume: Volume) => parseQuantity(volume.spec?.capacity?.['storage'] ?? '0') ?? zero;
  return compareQuantity(size(a), size(b));
}

function isSelected(volume: Volume, claim: Claim): boolean {
  const selector = claim.spec?.selector;
  return selector === undefined || selectorMatches(selector, volume.metadata.labels);
}

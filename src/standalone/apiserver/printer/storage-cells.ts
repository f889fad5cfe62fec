import type { PersistentVolume, PersistentVolumeClaim } from 'kubernetes-types/core/v1.js';
import type {
  CSIDriver,
  CSINode,
  CSIStorageCapacity,
  StorageClass,
  VolumeAttachment,
} from 'kubernetes-types/storage/v1.js';
import type { KubeObject } from '../../../api/resource.ts';
import { ageOf } from './age.ts';
import { nameOf, printer, unset, type BuiltinPrinter } from './builtin-printer.ts';

const shortModes: Readonly<Record<string, string>> = {
  ReadWriteOnce: 'RWO',
  ReadOnlyMany: 'ROX',
  ReadWriteMany: 'RWX',
  ReadWriteOncePod: 'RWOP',
};

/** Each mode once, in the fixed order of the table. */
const modesText = (modes: readonly string[] | undefined): string =>
  Object.keys(shortModes)
    .filter((mode) => modes?.includes(mode))
    .map((mode) => shortModes[mode])
    .join(',');

const phaseOf = (object: KubeObject & { status?: { phase?: string } }): string =>
  object.metadata?.deletionTimestamp ? 'Terminating' : (object.status?.phase ?? '');

const defaultMarks = [
  'storageclass.kubernetes.io/is-default-class',
  'storageclass.beta.kubernetes.io/is-default-class',
];
const betaClass = 'volume.beta.kubernetes.io/storage-class';

const ageCell = (object: KubeObject, nowMs: number) => ageOf(object.metadata?.creationTimestamp, nowMs);

function persistentVolume(volume: PersistentVolume, nowMs: number) {
  const { spec, status } = volume;
  return [
    nameOf(volume),
    spec?.capacity?.['storage'],
    modesText(spec?.accessModes),
    spec?.persistentVolumeReclaimPolicy,
    phaseOf(volume),
    spec?.claimRef ? `${spec.claimRef.namespace ?? ''}/${spec.claimRef.name ?? ''}` : '',
    volume.metadata?.annotations?.[betaClass] ?? spec?.storageClassName,
    spec?.volumeAttributesClassName ?? unset,
    status?.reason,
    ageCell(volume, nowMs),
    spec?.volumeMode ?? unset,
  ];
}

function persistentVolumeClaim(claim: PersistentVolumeClaim, nowMs: number) {
  const { spec, status } = claim;
  // What a claim has is only known once it has a volume.
  const bound = Boolean(spec?.volumeName);
  return [
    nameOf(claim),
    phaseOf(claim),
    spec?.volumeName,
    bound ? status?.capacity?.['storage'] : '',
    bound ? modesText(status?.accessModes) : '',
    claim.metadata?.annotations?.[betaClass] ?? spec?.storageClassName,
    spec?.volumeAttributesClassName ?? unset,
    ageCell(claim, nowMs),
    spec?.volumeMode ?? unset,
  ];
}

function storageClass(found: StorageClass, nowMs: number) {
  const isDefault = defaultMarks.some((mark) => found.metadata?.annotations?.[mark] === 'true');
  return [
    isDefault ? `${nameOf(found)} (default)` : nameOf(found),
    found.provisioner,
    found.reclaimPolicy ?? 'Delete',
    found.volumeBindingMode ?? 'Immediate',
    found.allowVolumeExpansion ?? false,
    ageCell(found, nowMs),
  ];
}

function csiDriver(driver: CSIDriver, nowMs: number) {
  const { spec } = driver;
  const audiences = (spec?.tokenRequests ?? []).map(({ audience }) => audience);
  return [
    nameOf(driver),
    spec?.attachRequired ?? true,
    spec?.podInfoOnMount ?? false,
    spec?.storageCapacity ?? false,
    audiences.length > 0 ? audiences.join(',') : unset,
    spec?.requiresRepublish ?? false,
    spec?.volumeLifecycleModes?.length ? spec.volumeLifecycleModes.join(',') : unset,
    ageCell(driver, nowMs),
  ];
}

type VolumeAttributesClass = KubeObject & { readonly driverName?: string };

export const storagePrinters: Readonly<Record<string, BuiltinPrinter>> = {
  PersistentVolume: printer(
    'Name,Capacity,Access Modes,Reclaim Policy,Status,Claim,StorageClass,VolumeAttributesClass,Reason,Age,VolumeMode*',
    persistentVolume,
  ),
  PersistentVolumeClaim: printer(
    'Name,Status,Volume,Capacity,Access Modes,StorageClass,VolumeAttributesClass,Age,VolumeMode*',
    persistentVolumeClaim,
  ),
  StorageClass: printer(
    'Name,Provisioner,ReclaimPolicy,VolumeBindingMode,AllowVolumeExpansion,Age',
    storageClass,
  ),
  CSIDriver: printer(
    'Name,AttachRequired,PodInfoOnMount,StorageCapacity,TokenRequests,RequiresRepublish,Modes,Age',
    csiDriver,
  ),
  CSINode: printer<CSINode>('Name,Drivers,Age', (node, nowMs) => [
    nameOf(node),
    node.spec?.drivers?.length ?? 0,
    ageCell(node, nowMs),
  ]),
  CSIStorageCapacity: printer<CSIStorageCapacity>('Name,StorageClassName,Capacity', (found) => [
    nameOf(found),
    found.storageClassName,
    found.capacity ?? unset,
  ]),
  VolumeAttachment: printer<VolumeAttachment>('Name,Attacher,PV,Node,Attached,Age', (found, nowMs) => [
    nameOf(found),
    found.spec?.attacher,
    found.spec?.source?.persistentVolumeName,
    found.spec?.nodeName,
    found.status?.attached ?? false,
    ageCell(found, nowMs),
  ]),
  VolumeAttributesClass: printer<VolumeAttributesClass>('Name,DriverName,Age', (found, nowMs) => [
    nameOf(found),
    found.driverName,
    ageCell(found, nowMs),
  ]),
};

import type {
  PersistentVolume,
  PersistentVolumeClaim,
  PersistentVolumeClaimSpec,
  PersistentVolumeSpec,
} from 'kubernetes-types/core/v1.js';
import type { CSIDriver, CSINode, StorageClass, VolumeAttachment } from 'kubernetes-types/storage/v1.js';
import { compareQuantity, parseQuantity } from '../../../../lib/quantity.ts';
import type { FieldError, Json } from '../../kind.ts';
import { fieldError } from '../field-error.ts';
import { sameJson } from '../../registry/json.ts';
import { oneOf } from './container-rules.ts';
import { dnsSubdomain, nameErrors, qualifiedName } from './names.ts';
import { immutable, selectorErrors } from './workload-rules.ts';

const modes = ['ReadOnlyMany', 'ReadWriteMany', 'ReadWriteOnce', 'ReadWriteOncePod'];
const volumeModes = ['Block', 'Filesystem'];
const reclaimPolicies = ['Delete', 'Recycle', 'Retain'];

function modeErrors(given: readonly string[] | undefined, path: string): FieldError[] {
  if (!given?.length) return [fieldError.required(path, 'at least 1 access mode is required')];
  const errors = given
    .filter((mode) => !modes.includes(mode))
    .map((mode) => fieldError.unsupported(path, mode, modes));
  if (given.length > 1 && given.includes('ReadWriteOncePod'))
    errors.push(fieldError.forbidden(path, 'may not use ReadWriteOncePod with other access modes'));
  return errors;
}

function sizeErrors(size: string | number | undefined, path: string): FieldError[] {
  if (size === undefined) return [fieldError.required(path)];
  const quantity = parseQuantity(size);
  return quantity && quantity.milli <= 0n
    ? [fieldError.invalid(path, size, 'must be greater than zero')]
    : [];
}

function classErrors(name: string | undefined, path: string): FieldError[] {
  return name ? nameErrors(path, name, dnsSubdomain) : [];
}

function claimSpecErrors(spec: PersistentVolumeClaimSpec): FieldError[] {
  return [
    ...modeErrors(spec.accessModes, 'spec.accessModes'),
    ...selectorErrors(spec.selector, 'spec.selector'),
    ...sizeErrors(spec.resources?.requests?.['storage'], 'spec.resources[storage]'),
    ...classErrors(spec.storageClassName, 'spec.storageClassName'),
    ...oneOf('spec.volumeMode', spec.volumeMode, volumeModes),
    ...(spec.dataSource && spec.dataSourceRef && !spec.dataSourceRef.namespace
      ? sameJson(spec.dataSource, spec.dataSourceRef)
        ? []
        : [fieldError.invalid('spec', '', 'must match dataSourceRef')]
      : []),
  ];
}

const claimWords =
  'spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims';

function claimChangeErrors(next: PersistentVolumeClaim, before: PersistentVolumeClaim): FieldError[] {
  const [now, then] = [structuredClone(next.spec ?? {}), structuredClone(before.spec ?? {})];
  const errors: FieldError[] = [];
  // The binder names the volume, once; a class may be given to a claim that came without one.
  if (!then.volumeName) delete now.volumeName;
  if (!then.volumeName) delete then.volumeName;
  if (then.storageClassName === undefined && next.metadata?.annotations?.[betaClass] === undefined)
    delete now.storageClassName;
  const size = now.resources?.requests?.['storage'];
  const [asked, had] = [
    parseQuantity(size ?? ''),
    parseQuantity(then.resources?.requests?.['storage'] ?? ''),
  ];
  if (before.status?.phase === 'Bound') {
    const held = parseQuantity(before.status.capacity?.['storage'] ?? '');
    if (asked && had && compareQuantity(asked, had) < 0 && (!held || compareQuantity(asked, held) < 0))
      errors.push(
        fieldError.forbidden('spec.resources.requests.storage', 'field can not be less than status.capacity'),
      );
    if (now.resources?.requests) delete now.resources.requests['storage'];
    if (then.resources?.requests) delete then.resources.requests['storage'];
  } else if (asked && had && compareQuantity(asked, had) === 0) {
    // 1Gi and 1024Mi are the same wish.
    now.resources = then.resources as NonNullable<typeof now.resources>;
  }
  delete now.volumeAttributesClassName;
  delete then.volumeAttributesClassName;
  if (!sameJson(now, then)) errors.push(fieldError.forbidden('spec', claimWords));
  return errors;
}

const betaClass = 'volume.beta.kubernetes.io/storage-class';

function claim(next: PersistentVolumeClaim, before: PersistentVolumeClaim | undefined): FieldError[] {
  if (!next.spec) return [fieldError.required('spec')];
  return [...claimSpecErrors(next.spec), ...(before ? claimChangeErrors(next, before) : [])];
}

// Every other field of a volume's spec is a source.
const plainFields = new Set([
  'accessModes',
  'capacity',
  'claimRef',
  'mountOptions',
  'nodeAffinity',
  'persistentVolumeReclaimPolicy',
  'storageClassName',
  'volumeAttributesClassName',
  'volumeMode',
]);
// A driver may ask for other secrets in a volume's life.
const secretFields = ['controllerExpandSecretRef', 'nodeExpandSecretRef', 'controllerPublishSecretRef'];

function sourceOf(spec: PersistentVolumeSpec): Json {
  const sources = Object.entries(spec).filter(([field]) => !plainFields.has(field));
  return Object.fromEntries(
    sources.map(([field, source]) =>
      field === 'csi'
        ? [
            field,
            Object.fromEntries(
              Object.entries(source as object).filter(([key]) => !secretFields.includes(key)),
            ),
          ]
        : [field, source],
    ),
  ) as Json;
}

function volume({ spec }: PersistentVolume, before: PersistentVolume | undefined): FieldError[] {
  if (!spec) return [fieldError.required('spec')];
  const sources = Object.keys(spec).filter((field) => !plainFields.has(field));
  const errors = [
    ...modeErrors(spec.accessModes, 'spec.accessModes'),
    ...(spec.capacity
      ? sizeErrors(spec.capacity['storage'], 'spec.capacity[storage]')
      : [fieldError.required('spec.capacity')]),
    ...classErrors(spec.storageClassName, 'spec.storageClassName'),
    ...oneOf('spec.volumeMode', spec.volumeMode, volumeModes),
    ...oneOf('spec.persistentVolumeReclaimPolicy', spec.persistentVolumeReclaimPolicy, reclaimPolicies),
    ...sources
      .slice(1)
      .map((source) => fieldError.forbidden(`spec.${source}`, 'may not specify more than 1 volume type')),
  ];
  if (sources.length === 0) errors.push(fieldError.required('spec', 'must specify a volume type'));
  const { hostPath, csi, local } = spec;
  if (hostPath && !hostPath.path) errors.push(fieldError.required('spec.hostPath.path'));
  if (hostPath?.path === '/' && spec.persistentVolumeReclaimPolicy === 'Recycle')
    errors.push(
      fieldError.forbidden(
        'spec.persistentVolumeReclaimPolicy',
        "may not be 'recycle' for a hostPath mount of '/'",
      ),
    );
  if (csi && !csi.driver) errors.push(fieldError.required('spec.csi.driver'));
  if (csi && !csi.volumeHandle) errors.push(fieldError.required('spec.csi.volumeHandle'));
  if (local && !spec.nodeAffinity)
    errors.push(fieldError.required('spec.nodeAffinity', 'Local volume requires node affinity'));
  const old = before?.spec;
  if (!old) return errors;
  if (!sameJson(sourceOf(spec), sourceOf(old)))
    errors.push(
      fieldError.forbidden(
        'spec.persistentvolumesource',
        'spec.persistentvolumesource is immutable after creation',
      ),
    );
  errors.push(...immutable('spec.volumeMode', spec.volumeMode, old.volumeMode));
  if (old.nodeAffinity) errors.push(...immutable('spec.nodeAffinity', spec.nodeAffinity, old.nodeAffinity));
  return errors;
}

function storageClass(next: StorageClass, before: StorageClass | undefined): FieldError[] {
  const errors = next.provisioner
    ? nameErrors('provisioner', next.provisioner.toLowerCase(), qualifiedName)
    : [fieldError.required('provisioner')];
  for (const key of Object.keys(next.parameters ?? {}))
    if (key === '') errors.push(fieldError.invalid('parameters', key, 'field can not be empty.'));
  errors.push(
    ...oneOf('reclaimPolicy', next.reclaimPolicy, reclaimPolicies),
    ...oneOf('volumeBindingMode', next.volumeBindingMode, ['Immediate', 'WaitForFirstConsumer']),
  );
  if (!before) return errors;
  for (const field of ['parameters', 'provisioner', 'reclaimPolicy'] as const)
    // No parameters, and an empty list of them, are the same.
    if (!sameJson(next[field] ?? {}, before[field] ?? {}))
      errors.push(fieldError.forbidden(field, `updates to ${field} are forbidden.`));
  return [...errors, ...immutable('volumeBindingMode', next.volumeBindingMode, before.volumeBindingMode)];
}

function csiDriver(next: CSIDriver, before: CSIDriver | undefined): FieldError[] {
  const { spec } = next;
  const errors = [
    ...oneOf('spec.fsGroupPolicy', spec?.fsGroupPolicy, ['ReadWriteOnceWithFSType', 'File', 'None']),
    ...(spec?.volumeLifecycleModes ?? []).flatMap((mode, i) =>
      oneOf(`spec.volumeLifecycleModes[${i}]`, mode, ['Ephemeral', 'Persistent']),
    ),
  ];
  const name = next.metadata?.name ?? '';
  if (name.length > 63)
    errors.push({
      field: 'metadata.name',
      reason: 'FieldValueTooLong',
      message: 'Too long: may not be more than 63 bytes',
    });
  if (!before) return errors;
  return [
    ...errors,
    ...immutable('spec.attachedRequired', spec?.attachRequired, before.spec?.attachRequired),
    ...immutable('spec.volumeLifecycleModes', spec?.volumeLifecycleModes, before.spec?.volumeLifecycleModes),
  ];
}

function csiNode({ spec }: CSINode, before: CSINode | undefined): FieldError[] {
  const names = new Set<string>();
  return (spec?.drivers ?? []).flatMap((driver, i) => {
    const field = `spec.drivers[${i}]`;
    const errors: FieldError[] = [];
    if (!driver.name) errors.push(fieldError.required(`${field}.name`));
    else if (names.has(driver.name)) errors.push(fieldError.duplicate(`${field}.name`, driver.name));
    names.add(driver.name);
    if (!driver.nodeID) errors.push(fieldError.required(`${field}.nodeID`));
    const old = before?.spec?.drivers?.find(({ name }) => name === driver.name);
    if (old && old.nodeID !== driver.nodeID)
      errors.push(fieldError.invalid(`${field}.nodeID`, driver.nodeID, 'field is immutable'));
    return errors;
  });
}

function attachment({ spec }: VolumeAttachment, before: VolumeAttachment | undefined): FieldError[] {
  const errors: FieldError[] = [];
  if (!spec?.attacher) errors.push(fieldError.required('spec.attacher'));
  if (!spec?.nodeName) errors.push(fieldError.required('spec.nodeName'));
  const { persistentVolumeName, inlineVolumeSpec } = spec?.source ?? {};
  if (!persistentVolumeName && !inlineVolumeSpec)
    errors.push(
      fieldError.required(
        'spec.source',
        'must specify exactly one of inlineVolumeSpec and persistentVolumeName',
      ),
    );
  return before ? [...errors, ...immutable('spec', spec, before.spec)] : errors;
}

export const storageRules = {
  PersistentVolumeClaim: claim,
  PersistentVolume: volume,
  StorageClass: storageClass,
  CSIDriver: csiDriver,
  CSINode: csiNode,
  VolumeAttachment: attachment,
};

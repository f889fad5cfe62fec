import { create, type MessageInitShape } from '@bufbuild/protobuf';
import type { PersistentVolume, PersistentVolumeClaim } from 'kubernetes-types/core/v1.js';
import type { StorageClass } from 'kubernetes-types/storage/v1.js';
import { refOf, type ObjectRef, type Stored } from '../../api/resource.ts';
import {
  CapacityRangeSchema,
  CreateVolumeRequestSchema,
  type CreateVolumeRequest,
  type CreateVolumeResponseSchema,
} from '../../gen/csi/v1/csi_pb.js';
import { Code, RpcError } from '../../lib/grpc.ts';
import { formatBytes, parseBytes } from '../../lib/quantity.ts';
import { secretRef, type SecretPurpose } from './class-secrets.ts';
import { volumeCapability } from './volume-capability.ts';
import { deletionSecretName, deletionSecretNamespace } from './volume-secrets.ts';

export const provisionedBy = 'pv.kubernetes.io/provisioned-by';
/** Keeps a PV until its image is gone; upstream's provisioner knows it by this name. */
export const provisionerFinalizer = 'external-provisioner.volume.kubernetes.io/finalizer';

const csiPrefix = 'csi.storage.k8s.io/';
const defaultFsType = 'ext4';

export interface Provisioning {
  readonly claim: Stored<PersistentVolumeClaim>;
  readonly storageClass: Stored<StorageClass>;
}

/** `pvc-<uid>`: the PV's name, and the request name in the driver's journal. */
export const volumeNameOf = (claim: Stored<PersistentVolumeClaim>): string => `pvc-${claim.metadata.uid}`;

/** The class of a claim; the old annotation counts first, as in Kubernetes. */
export const classNameOf = (claim: PersistentVolumeClaim): string | undefined =>
  claim.metadata?.annotations?.['volume.beta.kubernetes.io/storage-class'] ?? claim.spec?.storageClassName;

export const provisionerSecretOf = (provisioning: Provisioning): ObjectRef | undefined =>
  secretOf(provisioning, 'provisioner');

const secretOf = ({ claim, storageClass }: Provisioning, purpose: SecretPurpose): ObjectRef | undefined =>
  secretRef(storageClass.parameters ?? {}, purpose, { pvName: volumeNameOf(claim), claim: refOf(claim) });

/** The CreateVolume call for a claim. Throws RpcError InvalidArgument for what cannot be asked of the driver. */
export function createVolumeRequest(
  provisioning: Provisioning,
  secrets: Readonly<Record<string, string>>,
): CreateVolumeRequest {
  const { claim, storageClass } = provisioning;
  const { spec } = claim;
  const refuse = (problem: string): never => {
    throw new RpcError(Code.INVALID_ARGUMENT, problem);
  };
  if (spec?.selector) refuse('the claim has a selector, which only picks among existing volumes: remove it');
  if (spec?.dataSource || spec?.dataSourceRef)
    refuse('the claim has a data source; clones and restores are not supported yet');
  const asked = String(spec?.resources?.requests?.['storage'] ?? '');
  const bytes = parseBytes(asked);
  if (bytes === undefined || bytes <= 0n)
    refuse(`the claim asks for ${JSON.stringify(asked)} of storage, which is no size`);
  const limit = spec?.resources?.limits?.['storage'];
  const parameters: Record<string, string> = {};
  for (const [key, value] of Object.entries(storageClass.parameters ?? {}))
    if (!key.startsWith(csiPrefix)) parameters[key] = value;
  // What upstream adds with --extra-create-metadata, as Rook runs it: the claim's namespace is the volume's owner.
  parameters[`${csiPrefix}pvc/name`] = claim.metadata.name;
  parameters[`${csiPrefix}pvc/namespace`] = claim.metadata.namespace ?? '';
  parameters[`${csiPrefix}pv/name`] = volumeNameOf(claim);
  const accessModes = spec?.accessModes ?? [];
  if (accessModes.length === 0) refuse('the claim has no accessModes');
  return create(CreateVolumeRequestSchema, {
    name: volumeNameOf(claim),
    capacityRange: create(CapacityRangeSchema, {
      requiredBytes: bytes ?? 0n,
      limitBytes: limit === undefined ? 0n : (parseBytes(limit) ?? 0n),
    }),
    volumeCapabilities: accessModes.map((accessMode) =>
      volumeCapability({
        accessMode,
        block: spec?.volumeMode === 'Block',
        fsType: fsTypeOf(storageClass),
        mountFlags: storageClass.mountOptions ?? [],
      }),
    ),
    parameters,
    secrets: { ...secrets },
  });
}

type CreatedVolume = NonNullable<MessageInitShape<typeof CreateVolumeResponseSchema>['volume']>;

/** The PV for a volume that was made, to the letter of upstream's provisioner so that either can go on with it. */
export function persistentVolumeOf(
  driver: string,
  provisioning: Provisioning,
  volume: CreatedVolume,
  identity: string,
): PersistentVolume {
  const { claim, storageClass } = provisioning;
  const name = volumeNameOf(claim);
  const block = claim.spec?.volumeMode === 'Block';
  const reclaimPolicy = storageClass.reclaimPolicy ?? 'Delete';
  const provisioner = provisionerSecretOf(provisioning);
  const reference = (purpose: SecretPurpose) => secretOf(provisioning, purpose);
  return {
    apiVersion: 'v1',
    kind: 'PersistentVolume',
    metadata: {
      name,
      annotations: {
        [provisionedBy]: driver,
        [deletionSecretName]: provisioner?.name ?? '',
        [deletionSecretNamespace]: provisioner?.namespace ?? '',
      },
      ...(reclaimPolicy === 'Delete' ? { finalizers: [provisionerFinalizer] } : {}),
    },
    spec: {
      accessModes: claim.spec?.accessModes ?? [],
      capacity: { storage: formatBytes(BigInt(volume.capacityBytes ?? 0n)) },
      volumeMode: block ? 'Block' : 'Filesystem',
      persistentVolumeReclaimPolicy: reclaimPolicy,
      storageClassName: storageClass.metadata.name,
      ...(storageClass.mountOptions ? { mountOptions: storageClass.mountOptions } : {}),
      claimRef: {
        apiVersion: 'v1',
        kind: 'PersistentVolumeClaim',
        namespace: claim.metadata.namespace ?? '',
        name: claim.metadata.name,
        uid: claim.metadata.uid,
        resourceVersion: claim.metadata.resourceVersion,
      },
      csi: {
        driver,
        volumeHandle: volume.volumeId ?? '',
        volumeAttributes: {
          ...volume.volumeContext,
          'storage.kubernetes.io/csiProvisionerIdentity': identity,
        },
        ...(block ? {} : { fsType: fsTypeOf(storageClass) }),
        ...secretField('controllerPublishSecretRef', reference('controller-publish')),
        ...secretField('controllerExpandSecretRef', reference('controller-expand')),
        ...secretField('nodeStageSecretRef', reference('node-stage')),
        ...secretField('nodePublishSecretRef', reference('node-publish')),
        ...secretField('nodeExpandSecretRef', reference('node-expand')),
      },
    },
  };
}

const fsTypeOf = (storageClass: StorageClass): string =>
  storageClass.parameters?.[`${csiPrefix}fstype`] || storageClass.parameters?.['fstype'] || defaultFsType;

const secretField = (field: string, secret: ObjectRef | undefined) =>
  secret ? { [field]: { ...secret } } : {};

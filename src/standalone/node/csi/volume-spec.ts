import type { PersistentVolume, Pod } from 'kubernetes-types/core/v1.js';
import type { CSIDriver } from 'kubernetes-types/storage/v1.js';
import type { MessageInitShape } from '@bufbuild/protobuf';
import {
  VolumeCapability_AccessMode_Mode as Mode,
  type VolumeCapabilitySchema,
} from '../../../gen/csi/v1/csi_pb.js';

/** The access mode that a driver hears for a volume's modes, the widest winning. */
export function csiAccessMode(modes: readonly string[] | undefined, singleWriter: boolean): Mode {
  const has = (mode: string) => modes?.includes(mode) ?? false;
  if (has('ReadWriteMany')) return Mode.MULTI_NODE_MULTI_WRITER;
  if (has('ReadOnlyMany')) return Mode.MULTI_NODE_READER_ONLY;
  if (has('ReadWriteOnce')) return singleWriter ? Mode.SINGLE_NODE_MULTI_WRITER : Mode.SINGLE_NODE_WRITER;
  if (has('ReadWriteOncePod')) return singleWriter ? Mode.SINGLE_NODE_SINGLE_WRITER : Mode.SINGLE_NODE_WRITER;
  return Mode.UNKNOWN;
}

export interface CapabilityWish {
  readonly volume: PersistentVolume;
  /** The driver tells single writers apart (SINGLE_NODE_MULTI_WRITER). */
  readonly singleWriter: boolean;
  /** The driver gives the volume to this group itself. */
  readonly mountGroup?: number | undefined;
}

export function volumeCapability(wish: CapabilityWish): MessageInitShape<typeof VolumeCapabilitySchema> {
  const { spec } = wish.volume;
  const accessMode = { mode: csiAccessMode(spec?.accessModes, wish.singleWriter) };
  if (spec?.volumeMode === 'Block') return { accessMode, accessType: { case: 'block', value: {} } };
  return {
    accessMode,
    accessType: {
      case: 'mount',
      value: {
        fsType: spec?.csi?.fsType ?? '',
        mountFlags: spec?.mountOptions ?? [],
        volumeMountGroup: wish.mountGroup === undefined ? '' : String(wish.mountGroup),
      },
    },
  };
}

/** Whether we give the volume to the pod's fsGroup, by the driver's policy. */
export function wantsFsGroup(driver: CSIDriver | undefined, volume: PersistentVolume): boolean {
  switch (driver?.spec.fsGroupPolicy ?? 'ReadWriteOnceWithFSType') {
    case 'None':
      return false;
    case 'File':
      return true;
    default:
      return Boolean(volume.spec?.csi?.fsType) && (volume.spec?.accessModes ?? []).join() === 'ReadWriteOnce';
  }
}

/** What a driver with podInfoOnMount hears about the pod. */
export function podInfo(pod: Pod): Record<string, string> {
  return {
    'csi.storage.k8s.io/pod.name': pod.metadata?.name ?? '',
    'csi.storage.k8s.io/pod.namespace': pod.metadata?.namespace ?? '',
    'csi.storage.k8s.io/pod.uid': pod.metadata?.uid ?? '',
    'csi.storage.k8s.io/serviceAccount.name': pod.spec?.serviceAccountName ?? '',
    'csi.storage.k8s.io/ephemeral': 'false',
  };
}

import { create } from '@bufbuild/protobuf';
import { VolumeCapabilitySchema, type VolumeCapability } from '../../gen/csi/v1/csi_pb.js';
import { accessModeOf } from './access-mode.ts';

export interface WantedAccess {
  /** Kubernetes' name: ReadWriteOnce and so on. */
  readonly accessMode: string;
  readonly block: boolean;
  readonly fsType: string;
  readonly mountFlags: readonly string[];
}

/** CSI's capability for one of Kubernetes' access modes. */
export function volumeCapability({ accessMode, block, fsType, mountFlags }: WantedAccess): VolumeCapability {
  return create(VolumeCapabilitySchema, {
    accessMode: { mode: accessModeOf(accessMode) },
    accessType: block
      ? { case: 'block', value: {} }
      : { case: 'mount', value: { fsType, mountFlags: [...mountFlags] } },
  });
}

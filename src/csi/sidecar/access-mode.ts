import { VolumeCapability_AccessMode_Mode as Mode } from '../../gen/csi/v1/csi_pb.js';

/** CSI's mode for Kubernetes', for a driver with the SINGLE_NODE_MULTI_WRITER capability. */
export function accessModeOf(mode: string): Mode {
  switch (mode) {
    case 'ReadWriteOnce':
      return Mode.SINGLE_NODE_MULTI_WRITER;
    case 'ReadWriteOncePod':
      return Mode.SINGLE_NODE_SINGLE_WRITER;
    case 'ReadOnlyMany':
      return Mode.MULTI_NODE_READER_ONLY;
    case 'ReadWriteMany':
      return Mode.MULTI_NODE_MULTI_WRITER;
    default:
      return Mode.UNKNOWN;
  }
}

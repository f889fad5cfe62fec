import {
  type Identity,
  PluginCapability_Service_Type,
  PluginCapability_VolumeExpansion_Type,
} from '../gen/csi/v1/csi_pb.js';
import type { UnaryHandlers } from '../lib/grpc.ts';

export interface DriverIdentity {
  /** `rook-ceph.rbd.csi.ceph.com` */
  readonly driver: string;
  readonly version: string;
}

/** CSI's Identity service. `ready` says whether calls can be served now. */
export function identityService(
  { driver, version }: DriverIdentity,
  ready: () => Promise<boolean>,
): UnaryHandlers<typeof Identity.method> {
  return {
    getPluginInfo: () => Promise.resolve({ name: driver, vendorVersion: version }),
    getPluginCapabilities: () =>
      Promise.resolve({
        capabilities: [
          { type: { case: 'service', value: { type: PluginCapability_Service_Type.CONTROLLER_SERVICE } } },
          {
            type: { case: 'volumeExpansion', value: { type: PluginCapability_VolumeExpansion_Type.ONLINE } },
          },
        ],
      }),
    probe: async () => ({ ready: await ready() }),
  };
}

import type { AttachRequest } from '../../src/host/attacher.ts';

/** An image as the mounter is asked for it, at monitors that speak both protocols. */
export const attachRequest: AttachRequest = {
  clusterId: 'rook-ceph',
  pool: 'replicapool',
  image: 'csi-vol-1',
  monHost: '[v2:10.0.0.1:3300,v1:10.0.0.1:6789],[v2:10.0.0.2:3300,v1:10.0.0.2:6789]',
  user: 'client.csi-rbd-node',
  key: 'c2VjcmV0',
  readOnly: false,
};

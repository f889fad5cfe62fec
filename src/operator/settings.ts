import type { ConfigMap } from 'kubernetes-types/core/v1.js';
import type { OwnImage } from './own-image.ts';

/** Images that the operator starts pods from. */
export interface OperatorImages {
  /** Holdfast's own image: operator, CSI, mounter, OSD preparation. */
  readonly holdfast: string;
  /** Where a CephCluster names none. */
  readonly ceph: string;
  /** What the operator itself was started from, where that has Ceph's daemons. */
  readonly own?: OwnImage;
}

/** From the ConfigMap `rook-ceph-operator-config`, spelled as Rook's; other keys are left alone. */
export interface OperatorSettings {
  readonly kubeletDir: string;
  readonly enableRbd: boolean;
  readonly provisionerReplicas: number;
  readonly csiDriverPrefix: string | undefined;
  readonly logLevel: string;
}

export const operatorConfigName = 'rook-ceph-operator-config';

export function readSettings(config: ConfigMap | undefined): OperatorSettings {
  const data = config?.data ?? {};
  const replicas = Number(data['CSI_PROVISIONER_REPLICAS'] ?? 1);
  const kubeletDir = data['ROOK_CSI_KUBELET_DIR_PATH'] ?? '';
  return {
    kubeletDir: /^\/[\w./-]+$/.test(kubeletDir) ? kubeletDir.replace(/\/+$/, '') : '/var/lib/kubelet',
    enableRbd: (data['ROOK_CSI_ENABLE_RBD'] ?? 'true') !== 'false',
    provisionerReplicas: Number.isInteger(replicas) && replicas > 0 && replicas <= 5 ? replicas : 1,
    csiDriverPrefix: data['CSI_DRIVER_NAME_PREFIX'] || undefined,
    logLevel: data['ROOK_LOG_LEVEL'] ?? 'INFO',
  };
}

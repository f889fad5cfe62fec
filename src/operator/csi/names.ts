/** Names of CSI’s parts, as Rook has them; the mounter is Holdfast’s own. */
export const rbdDriver = (operatorNamespace: string, prefix?: string): string =>
  `${prefix ?? operatorNamespace}.rbd.csi.ceph.com`;
export const provisionerName = 'csi-rbdplugin-provisioner';
export const pluginName = 'csi-rbdplugin';
export const mounterName = 'holdfast-mounter';
export const csiConfigName = 'rook-ceph-csi-config';

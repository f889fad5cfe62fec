import type { PersistentVolume } from 'kubernetes-types/core/v1.js';
import type { ObjectRef, Stored } from '../../api/resource.ts';

export const deletionSecretName = 'volume.kubernetes.io/provisioner-deletion-secret-name';
export const deletionSecretNamespace = 'volume.kubernetes.io/provisioner-deletion-secret-namespace';

/** The Secret with which a PV's volume was made, as upstream's provisioner notes it on the PV. */
export function deletionSecretOf(volume: Stored<PersistentVolume>): ObjectRef | undefined {
  const name = volume.metadata.annotations?.[deletionSecretName];
  const namespace = volume.metadata.annotations?.[deletionSecretNamespace];
  return name && namespace ? { name, namespace } : undefined;
}

/**
 * The Secret for a controller call about a PV. ceph-csi has no attach step, so the PVs of its classes name no
 * secret for one: the one that made the volume then serves.
 */
export function controllerSecretOf(
  volume: Stored<PersistentVolume>,
  purpose: 'publish' | 'expand',
): ObjectRef | undefined {
  const source = volume.spec?.csi;
  const own = purpose === 'publish' ? source?.controllerPublishSecretRef : source?.controllerExpandSecretRef;
  const others = [deletionSecretOf(volume), source?.controllerExpandSecretRef, source?.nodeStageSecretRef];
  for (const candidate of [own, ...others])
    if (candidate?.name && candidate.namespace)
      return { name: candidate.name, namespace: candidate.namespace };
  return undefined;
}

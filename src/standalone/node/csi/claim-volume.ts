import type { PersistentVolume, PersistentVolumeClaim, Pod } from 'kubernetes-types/core/v1.js';
import { PersistentVolumeClaims, PersistentVolumes } from '../../../api/core.ts';
import type { Stored } from '../../../api/resource.ts';
import type { KubeClient } from '../../../kube/client.ts';
import type { PodReferences } from '../references.ts';

/** The claim, once the binder has bound it. */
export async function boundClaim(
  client: KubeClient,
  pod: Pod,
  name: string,
  signal: AbortSignal,
): Promise<Stored<PersistentVolumeClaim>> {
  const namespace = pod.metadata?.namespace;
  const claim = await client.get(PersistentVolumeClaims, { namespace, name }, { signal });
  if (!claim) throw new Error(`persistentvolumeclaim "${name}" not found`);
  const phase = claim.status?.phase ?? '';
  if (claim.metadata.deletionTimestamp && phase !== 'Bound')
    throw new Error(`persistentvolumeclaim "${name}" is being deleted`);
  if (phase !== 'Bound' || !claim.spec?.volumeName)
    throw new Error(`PVC ${namespace}/${name} has non-bound phase ("${phase}") or empty pvc.Spec.VolumeName`);
  return claim;
}

/** The claim's own volume: one that names this very claim in return. */
export async function volumeOfClaim(
  client: KubeClient,
  claim: Stored<PersistentVolumeClaim>,
  signal: AbortSignal,
): Promise<Stored<PersistentVolume>> {
  const name = claim.spec?.volumeName ?? '';
  const volume = await client.get(PersistentVolumes, { name }, { signal });
  if (!volume) throw new Error(`persistentvolume "${name}" not found`);
  if (volume.spec?.claimRef?.uid !== claim.metadata.uid) {
    const { namespace, name: claimName } = claim.metadata;
    throw new Error(`persistentvolume "${name}" is bound to another claim than ${namespace}/${claimName}`);
  }
  return volume;
}

/** A driver's secret by reference, empty where none is named. It goes to the driver and nowhere else. */
export async function driverSecret(
  references: PodReferences,
  ref: { readonly name?: string; readonly namespace?: string } | undefined,
  signal: AbortSignal,
): Promise<Record<string, string>> {
  if (!ref?.name || !ref.namespace) return {};
  const found = await references.data('secret', ref.namespace, ref.name, signal);
  if (!found) throw new Error(`secret "${ref.namespace}/${ref.name}" not found`);
  return Object.fromEntries([...found].map(([key, value]) => [key, value.toString()]));
}

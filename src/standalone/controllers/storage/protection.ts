import type { PersistentVolume, PersistentVolumeClaim, Pod } from 'kubernetes-types/core/v1.js';
import { Pods } from '../../../api/core.ts';
import type { Stored } from '../../../api/resource.ts';
import { done, requeueAfter } from '../../../control/outcome.ts';
import type { Reconciler } from '../../../control/reconciler.ts';
import type { KubeClient } from '../../../kube/client.ts';
import type { RunningCache } from '../../../kube/watch-cache.ts';

export const claimFinalizer = 'kubernetes.io/pvc-protection';
export const volumeFinalizer = 'kubernetes.io/pv-protection';
const recheckMs = 60_000; // A pod's deletion triggers; this is for the one that was missed.

/** The claims that a pod mounts, generic ephemeral volumes included. */
export const claimNamesOf = (pod: Stored<Pod>): string[] =>
  (pod.spec?.volumes ?? []).flatMap((volume) => {
    if (volume.persistentVolumeClaim) return [volume.persistentVolumeClaim.claimName];
    return volume.ephemeral ? [`${pod.metadata.name}-${volume.name}`] : [];
  });

/** A claim that a pod uses stays until that pod is gone. */
export function claimProtection(
  client: KubeClient,
  pods: RunningCache<Pod>,
): Reconciler<PersistentVolumeClaim> {
  const uses = (pod: Stored<Pod>, claim: Stored<PersistentVolumeClaim>) =>
    // A pod that is not placed yet will not start with a claim that is being deleted.
    Boolean(pod.spec?.nodeName) && claimNamesOf(pod).includes(claim.metadata.name);
  return {
    name: 'pvc-protection',
    finalizer: claimFinalizer,
    reconcile: () => Promise.resolve(done),
    async finalize(claim, { signal }) {
      const namespace = claim.metadata.namespace;
      if (pods.list(namespace).some((pod) => uses(pod, claim))) return requeueAfter(recheckMs);
      // The cache may lag behind a pod just placed: before the finalizer goes, the API itself is asked.
      const live = await client.list(Pods, { namespace }, { signal });
      return live.items.some((pod) => uses(pod, claim)) ? requeueAfter(recheckMs) : done;
    },
  };
}

/** A volume that is bound to a claim stays until that claim is gone. */
export function volumeProtection(): Reconciler<PersistentVolume> {
  return {
    name: 'pv-protection',
    finalizer: volumeFinalizer,
    reconcile: () => Promise.resolve(done),
    finalize: (volume) => Promise.resolve(volume.status?.phase === 'Bound' ? requeueAfter(recheckMs) : done),
  };
}

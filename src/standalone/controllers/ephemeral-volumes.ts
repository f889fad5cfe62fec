import type { PersistentVolumeClaim, Pod } from 'kubernetes-types/core/v1.js';
import { PersistentVolumeClaims, Pods } from '../../api/core.ts';
import { keyOf, refOf } from '../../api/resource.ts';
import { done } from '../../control/outcome.ts';
import type { ControllerSpec } from '../../control/reconciler.ts';
import { triggeredByOwned } from '../../control/trigger.ts';
import { isAlreadyExists } from '../../kube/errors.ts';
import { controllerReference, isControlledBy } from '../../kube/owner-reference.ts';
import type { Environment } from './environment.ts';
import { isActive } from './pod-state.ts';

/** Makes the claims of pods' generic ephemeral volumes; the pod owns them, so they go with it. */
export function ephemeralVolumeController(environment: Environment): ControllerSpec<Pod> {
  const { client, caches } = environment;
  const claims = caches.cache(PersistentVolumeClaims);
  const events = environment.events('ephemeral-volume-controller');
  return {
    resource: Pods,
    triggers: [triggeredByOwned(PersistentVolumeClaims, 'Pod')],
    reconciler: {
      name: 'ephemeral-volume',
      async reconcile(pod, { signal }) {
        if (!isActive(pod)) return done;
        for (const volume of pod.spec?.volumes ?? []) {
          const template = volume.ephemeral?.volumeClaimTemplate;
          if (!template) continue;
          const ref = { namespace: pod.metadata.namespace, name: `${pod.metadata.name}-${volume.name}` };
          const known = claims.get(ref);
          if (known) {
            if (isControlledBy(known, pod)) continue;
            const message = `PVC ${keyOf(ref)} was not created for pod ${keyOf(refOf(pod))} (pod is not owner)`;
            events.event(pod, 'Warning', 'EphemeralVolumeConflict', message);
            continue;
          }
          const claim: PersistentVolumeClaim = {
            metadata: {
              ...template.metadata,
              name: ref.name,
              namespace: ref.namespace ?? '',
              ownerReferences: [controllerReference(pod)],
            },
            spec: template.spec,
          };
          try {
            claims.remember(await client.create(PersistentVolumeClaims, claim, { signal }));
          } catch (error) {
            if (!isAlreadyExists(error)) throw error; // Its watch event brings us back here.
          }
        }
        return done;
      },
    },
  };
}

import type { PersistentVolume, PersistentVolumeClaim, Pod } from 'kubernetes-types/core/v1.js';
import {
  CSIDrivers,
  Nodes,
  PersistentVolumeClaims,
  PersistentVolumes,
  Pods,
  StorageClasses,
  VolumeAttachments,
} from '../../../api/core.ts';
import { keyOf, refOf, type ObjectRef, type Stored } from '../../../api/resource.ts';
import type { Manager } from '../../../control/manager.ts';
import { triggeredBy } from '../../../control/trigger.ts';
import type { KubeClient } from '../../../kube/client.ts';
import type { EventRecorder } from '../../../kube/events.ts';
import type { Cache, IndexFunctions } from '../../../kube/cache.ts';
import { volumeAttach } from './attach.ts';
import type { AttachDeps } from './attachment.ts';
import { claimBinder } from './claim.ts';
import { attachedVolumes, volumeDetach } from './detach.ts';
import { classOfClaim, volumeIndexes, volumesNaming } from './match.ts';
import { claimNamesOf, claimProtection, volumeProtection } from './protection.ts';
import { volumeBinder } from './volume.ts';

export interface StorageControllerDeps {
  readonly client: KubeClient;
  /** Component `persistentvolume-controller`. */
  readonly binderEvents: EventRecorder;
  /** Component `attachdetach-controller`. */
  readonly attachEvents: EventRecorder;
}

/** Adds the binder, the protections and attach/detach to a manager. */
export function addStorageControllers(manager: Manager, deps: StorageControllerDeps): void {
  const { caches } = manager;
  const claims = caches.cache(PersistentVolumeClaims);
  const volumes = caches.cache(PersistentVolumes, {}, volumeIndexes);
  const classes = caches.cache(StorageClasses);
  const pods = caches.cache(Pods, {}, podIndexes);
  const binder = { client: deps.client, events: deps.binderEvents, claims, volumes, classes };
  const attaching: AttachDeps = {
    client: deps.client,
    events: deps.attachEvents,
    pods,
    nodes: caches.cache(Nodes),
    claims,
    volumes,
    drivers: caches.cache(CSIDrivers),
    attachments: caches.cache(VolumeAttachments),
  };

  manager.add({
    reconciler: claimBinder(binder),
    resource: PersistentVolumeClaims,
    triggers: [
      triggeredBy(PersistentVolumes, (volume) => claimsFor(volume, claims)),
      triggeredBy(StorageClasses, (changed) =>
        refsOf(
          claims,
          (claim) => isUnbound(claim) && [undefined, changed.metadata.name].includes(classOfClaim(claim)),
        ),
      ),
    ],
  });
  manager.add({
    reconciler: volumeBinder(binder),
    resource: PersistentVolumes,
    triggers: [triggeredBy(PersistentVolumeClaims, (claim) => volumesFor(claim, volumes))],
  });
  manager.add({
    reconciler: claimProtection(deps.client, pods),
    resource: PersistentVolumeClaims,
    triggers: [
      triggeredBy(Pods, (pod) =>
        claimNamesOf(pod).map((name) => ({ namespace: pod.metadata.namespace, name })),
      ),
    ],
  });
  manager.add({ reconciler: volumeProtection(), resource: PersistentVolumes });
  addAttachDetach(manager, attaching);
}

function addAttachDetach(manager: Manager, deps: AttachDeps): void {
  const podsOfClaim = (claim: Stored<PersistentVolumeClaim>) =>
    deps.pods.byIndex(podsByClaim, keyOf(refOf(claim))).map(refOf);
  const podsOfVolume = (name: string | undefined) => {
    const ref = deps.volumes.get({ name: name ?? '' })?.spec?.claimRef;
    const claim = ref && deps.claims.get({ namespace: ref.namespace, name: ref.name ?? '' });
    return claim ? podsOfClaim(claim) : [];
  };
  const attachmentsOfNode = (name: string | undefined) =>
    refsOf(deps.attachments, (attachment) => attachment.spec.nodeName === name);

  manager.add({
    reconciler: volumeAttach(deps),
    resource: Pods,
    triggers: [
      triggeredBy(PersistentVolumeClaims, podsOfClaim),
      triggeredBy(PersistentVolumes, (volume) => podsOfVolume(volume.metadata.name)),
      triggeredBy(VolumeAttachments, (one) => podsOfVolume(one.spec.source.persistentVolumeName)),
    ],
  });
  manager.add({
    reconciler: volumeDetach(deps),
    resource: VolumeAttachments,
    triggers: [
      triggeredBy(Pods, (pod: Stored<Pod>) =>
        claimNamesOf(pod).length > 0 ? attachmentsOfNode(pod.spec?.nodeName) : [],
      ),
      triggeredBy(Nodes, (node) => attachmentsOfNode(node.metadata.name)),
    ],
  });
  manager.add({
    reconciler: attachedVolumes(deps),
    resource: Nodes,
    triggers: [triggeredBy(VolumeAttachments, (one) => [{ name: one.spec.nodeName }])],
  });
}

const podsByClaim = 'claim';

const podIndexes: IndexFunctions<Pod> = {
  [podsByClaim]: (pod) => claimNamesOf(pod).map((name) => keyOf({ namespace: pod.metadata.namespace, name })),
};

const isUnbound = (claim: Stored<PersistentVolumeClaim>) => claim.status?.phase !== 'Bound';

/** A changed volume concerns the claim that it names; a free one may suit any claim that waits. */
function claimsFor(volume: Stored<PersistentVolume>, claims: Cache<PersistentVolumeClaim>): ObjectRef[] {
  const ref = volume.spec?.claimRef;
  if (ref) return [{ namespace: ref.namespace, name: ref.name ?? '' }];
  return refsOf(claims, isUnbound);
}

/** The volume that the claim names, and those that name it. */
function volumesFor(claim: Stored<PersistentVolumeClaim>, volumes: Cache<PersistentVolume>): ObjectRef[] {
  const named = claim.spec?.volumeName;
  return [...(named ? [{ name: named }] : []), ...volumesNaming(volumes, claim).map(refOf)];
}

function refsOf<T extends object>(cache: Cache<T>, accept: (object: Stored<T>) => boolean): ObjectRef[] {
  return cache.list().filter(accept).map(refOf);
}

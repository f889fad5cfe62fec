import type { Node, PersistentVolume, PersistentVolumeClaim, Pod } from 'kubernetes-types/core/v1.js';
import type { StorageClass } from 'kubernetes-types/storage/v1.js';
import { PersistentVolumeClaims, PersistentVolumes, StorageClasses } from '../../api/core.ts';
import { refOf, type Stored } from '../../api/resource.ts';
import type { KubeClient } from '../../kube/client.ts';
import type { CacheSet } from '../../kube/cache-set.ts';
import { controllerOf } from '../../kube/owner-reference.ts';
import { requirementMatches, selectorMatches } from '../../kube/selector.ts';
import { compareQuantity, parseQuantity } from '../../lib/quantity.ts';
import { nodeSelectorMatches } from './node-affinity.ts';

export const selectedNodeAnnotation = 'volume.kubernetes.io/selected-node';
const noProvisioner = 'kubernetes.io/no-provisioner';

/** What a pod's claims mean for its place. */
export type PodVolumes =
  | { readonly kind: 'impossible'; readonly message: string }
  | {
      readonly kind: 'claims';
      readonly bound: readonly Stored<PersistentVolume>[];
      readonly waiting: readonly WaitingClaim[];
    };

export interface WaitingClaim {
  readonly claim: Stored<PersistentVolumeClaim>;
  readonly storageClass: Stored<StorageClass>;
}

/** The claim's class: the annotation of old comes before the field. */
const classNameOf = (claim: PersistentVolumeClaim): string | undefined =>
  claim.metadata?.annotations?.['volume.beta.kubernetes.io/storage-class'] ?? claim.spec?.storageClassName;

interface PodClaim {
  readonly name: string;
  readonly ephemeral: boolean;
}

/** Names of the claims that a pod uses, those of its generic ephemeral volumes included. */
export function claimsOfPod(pod: Pod): PodClaim[] {
  return (pod.spec?.volumes ?? []).flatMap((volume): PodClaim[] => {
    const name = volume.persistentVolumeClaim?.claimName;
    if (name) return [{ name, ephemeral: false }];
    return volume.ephemeral ? [{ name: `${pod.metadata?.name}-${volume.name}`, ephemeral: true }] : [];
  });
}

export function volumesOfPod(pod: Stored<Pod>, caches: CacheSet): PodVolumes {
  const bound: Stored<PersistentVolume>[] = [];
  const waiting: WaitingClaim[] = [];
  const impossible = (message: string): PodVolumes => ({ kind: 'impossible', message });
  for (const { name, ephemeral } of claimsOfPod(pod)) {
    const { namespace } = pod.metadata;
    const claim = caches.cache(PersistentVolumeClaims).get({ namespace, name });
    if (!claim) {
      return impossible(
        ephemeral
          ? `waiting for ephemeral volume controller to create the persistentvolumeclaim "${name}"`
          : `persistentvolumeclaim "${name}" not found`,
      );
    }
    if (ephemeral && controllerOf(claim)?.uid !== pod.metadata.uid) {
      return impossible(`PVC ${namespace}/${name} was not created for pod ${pod.metadata.name}`);
    }
    if (claim.metadata.deletionTimestamp !== undefined) {
      return impossible(`persistentvolumeclaim "${name}" is being deleted`);
    }
    if (claim.status?.phase === 'Lost') {
      return impossible(
        `persistentvolumeclaim "${name}" bound to non-existent persistentvolume "${claim.spec?.volumeName}"`,
      );
    }
    const completed = claim.metadata.annotations?.['pv.kubernetes.io/bind-completed'] !== undefined;
    if (claim.spec?.volumeName && (completed || claim.status?.phase === 'Bound')) {
      const volume = caches.cache(PersistentVolumes).get({ name: claim.spec.volumeName });
      if (!volume) return impossible(`persistentvolume "${claim.spec.volumeName}" not found`);
      bound.push(volume);
      continue;
    }
    const className = classNameOf(claim);
    const storageClass = className ? caches.cache(StorageClasses).get({ name: className }) : undefined;
    // An immediate claim, or one that already has its volume chosen, is the binder's to finish.
    if (storageClass?.volumeBindingMode !== 'WaitForFirstConsumer' || claim.spec?.volumeName) {
      return impossible('pod has unbound immediate PersistentVolumeClaims');
    }
    waiting.push({ claim, storageClass });
  }
  return { kind: 'claims', bound, waiting };
}

/** Why these volumes keep the pod from this node, or nothing. */
export function volumeReasonAgainst(
  volumes: Extract<PodVolumes, { kind: 'claims' }>,
  node: Stored<Node>,
  caches: CacheSet,
): string | undefined {
  for (const volume of volumes.bound) {
    const required = volume.spec?.nodeAffinity?.required;
    if (required && !nodeSelectorMatches(required, node)) return 'node(s) had volume node affinity conflict';
  }
  for (const { claim, storageClass } of volumes.waiting) {
    const selected = claim.metadata.annotations?.[selectedNodeAnnotation];
    // Its volume is being made for that node now.
    if (selected !== undefined && selected !== node.metadata.name) {
      return 'node(s) had volume node affinity conflict';
    }
    if (findVolume(claim, node, caches)) continue;
    if (storageClass.provisioner === noProvisioner) {
      return "node(s) didn't find available persistent volumes to bind";
    }
    if (!topologyAllows(storageClass, node)) return "node(s) didn't match StorageClass allowed topologies";
  }
  return undefined;
}

function topologyAllows(storageClass: StorageClass, node: Node): boolean {
  const terms = storageClass.allowedTopologies ?? [];
  if (terms.length === 0) return true;
  return terms.some((term) =>
    (term.matchLabelExpressions ?? []).every((one) =>
      requirementMatches(one.key, 'In', one.values, node.metadata?.labels),
    ),
  );
}

/** The smallest available volume that suits the claim and can be reached from the node. */
function findVolume(
  claim: Stored<PersistentVolumeClaim>,
  node: Stored<Node>,
  caches: CacheSet,
): Stored<PersistentVolume> | undefined {
  const wanted = parseQuantity(claim.spec?.resources?.requests?.['storage'] ?? '0');
  const capacityOf = (volume: PersistentVolume) => parseQuantity(volume.spec?.capacity?.['storage'] ?? '0');
  const modes = claim.spec?.accessModes ?? [];
  const suits = (volume: Stored<PersistentVolume>): boolean => {
    const capacity = capacityOf(volume);
    const holder = volume.spec?.claimRef;
    const ours =
      holder === undefined ||
      (holder.name === claim.metadata.name &&
        holder.namespace === claim.metadata.namespace &&
        (holder.uid === undefined || holder.uid === claim.metadata.uid));
    const required = volume.spec?.nodeAffinity?.required;
    return (
      ours &&
      volume.metadata.deletionTimestamp === undefined &&
      (volume.status?.phase === 'Available' || holder !== undefined) &&
      (volume.spec?.storageClassName ?? '') === (classNameOf(claim) ?? '') &&
      (volume.spec?.volumeMode ?? 'Filesystem') === (claim.spec?.volumeMode ?? 'Filesystem') &&
      modes.every((mode) => volume.spec?.accessModes?.includes(mode)) &&
      (claim.spec?.selector === undefined || selectorMatches(claim.spec.selector, volume.metadata.labels)) &&
      capacity !== undefined &&
      wanted !== undefined &&
      compareQuantity(capacity, wanted) >= 0 &&
      (!required || nodeSelectorMatches(required, node))
    );
  };
  const zero = { milli: 0n };
  return caches
    .cache(PersistentVolumes)
    .list()
    .filter(suits)
    .sort((a, b) => compareQuantity(capacityOf(a) ?? zero, capacityOf(b) ?? zero))[0];
}

/**
 * Tells the binder and the provisioner where the pod will run: a ready volume is promised to the claim,
 * else the claim gets the chosen node's name, from which its volume is made.
 */
export async function chooseVolumes(
  waiting: readonly WaitingClaim[],
  node: Stored<Node>,
  caches: CacheSet,
  client: KubeClient,
  signal: AbortSignal,
): Promise<void> {
  for (const { claim } of waiting) {
    const volume = findVolume(claim, node, caches);
    if (volume && volume.spec?.claimRef?.uid === claim.metadata.uid) continue; // Promised already.
    const { uid, resourceVersion, name, namespace } = claim.metadata;
    if (volume) {
      const claimRef = { apiVersion: 'v1', kind: 'PersistentVolumeClaim', name, namespace, uid };
      const { metadata } = volume;
      const body = {
        metadata: {
          uid: metadata.uid,
          resourceVersion: metadata.resourceVersion,
          annotations: { 'pv.kubernetes.io/bound-by-controller': 'yes' },
        },
        spec: { claimRef },
      };
      const written = await client.patch(
        PersistentVolumes,
        refOf(volume),
        { type: 'merge', body },
        { signal },
      );
      caches.cache(PersistentVolumes).remember(written);
      continue;
    }
    if (claim.metadata.annotations?.[selectedNodeAnnotation] === node.metadata.name) continue;
    const annotations = { [selectedNodeAnnotation]: node.metadata.name };
    const body = { metadata: { uid, resourceVersion, annotations } };
    const patch = { type: 'merge', body } as const;
    const written = await client.patch(PersistentVolumeClaims, refOf(claim), patch, { signal });
    caches.cache(PersistentVolumeClaims).remember(written);
  }
}

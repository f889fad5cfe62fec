import type { OwnerReference } from 'kubernetes-types/meta/v1.js';
import type { KubeObject, Stored } from '../api/resource.ts';

/** A reference that makes `owner` the one controller of what carries it; the owner's deletion waits for it. */
export function controllerReference(owner: Stored<KubeObject>): OwnerReference {
  return { ...ownerReference(owner), controller: true, blockOwnerDeletion: true };
}

/** A plain reference: deleted with its owner, controlled by nobody. */
export function ownerReference(owner: Stored<KubeObject>): OwnerReference {
  const { apiVersion, kind, metadata } = owner;
  return { apiVersion, kind, name: metadata.name, uid: metadata.uid };
}

/** The reference of the object's controller, or undefined. */
export function controllerOf(object: KubeObject): OwnerReference | undefined {
  return object.metadata?.ownerReferences?.find((reference) => reference.controller === true);
}

export const isControlledBy = (object: KubeObject, owner: Stored<KubeObject>): boolean =>
  controllerOf(object)?.uid === owner.metadata.uid;

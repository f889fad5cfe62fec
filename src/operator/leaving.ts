import type { OwnerReference } from 'kubernetes-types/meta/v1.js';
import type { KubeObject, ObjectRef, Stored } from '../api/resource.ts';

/**
 * An object whose name is wanted is on its way out: it is being deleted, or it belonged to an owner that was
 * deleted and made anew under its name, and the garbage collector has not come to it yet. What is in it must
 * not be taken over, for a moment later it is gone. It is never removed here: that is the collector's to judge.
 */
export class LeavingError extends Error {
  readonly code = 'OBJECT_LEAVING';

  constructor(kind: string, { name }: ObjectRef) {
    super(`${kind} ${name} of before is still being removed`);
    this.name = 'LeavingError';
  }
}

export const isLeavingError = (error: unknown): error is LeavingError => error instanceof LeavingError;

/** Whether the object is on its way out for one whose owners are `owners`. */
export function isLeaving(object: Stored<KubeObject>, owners: readonly OwnerReference[] = []): boolean {
  if (object.metadata.deletionTimestamp !== undefined) return true;
  const theirs = object.metadata.ownerReferences ?? [];
  const isOwner = ({ uid }: OwnerReference) => owners.some((owner) => owner.uid === uid);
  // Names are unique while they are used: the same one with another uid is of an owner that is no more.
  const isFormer = ({ kind, name }: OwnerReference) =>
    owners.some((owner) => owner.kind === kind && owner.name === name);
  return theirs.length > 0 && !theirs.some(isOwner) && theirs.every(isFormer);
}

import type { RbdAttacher } from './attacher.ts';

export interface AttacherChoice {
  /** Undefined where none can. */
  readonly attacher: RbdAttacher | undefined;
  /** Why each of the others cannot, or was not asked for: `krbd: the kernel has no rbd module`. */
  readonly reasons: readonly string[];
}

/**
 * The first of `attachers`, in the order of preference, that this node can use with an image of these features.
 * `wanted` (StorageClass parameter `mounter`) allows only that one.
 */
export async function chooseAttacher(
  attachers: readonly RbdAttacher[],
  features: readonly string[],
  wanted?: RbdAttacher['name'],
): Promise<AttacherChoice> {
  const reasons: string[] = [];
  for (const attacher of attachers) {
    if (wanted !== undefined && attacher.name !== wanted) {
      reasons.push(`${attacher.name}: ${wanted} was asked for`);
      continue;
    }
    const reason = await attacher.unusable(features);
    if (reason === undefined) return { attacher, reasons };
    reasons.push(`${attacher.name}: ${reason}`);
  }
  return { attacher: undefined, reasons };
}

import type { RbdAttacher } from './attacher.ts';

export interface AttacherChoice<A extends RbdAttacher> {
  /** Undefined where none can. */
  readonly attacher: A | undefined;
  /** Why each of the others cannot, or was not asked for: `krbd: the kernel has no rbd module`. */
  readonly reasons: readonly string[];
}

export interface AttacherWish {
  /** StorageClass parameter `mounter`: only that one, or the first to be tried with `tryOthers`. */
  readonly attacher?: RbdAttacher['name'] | undefined;
  /** StorageClass parameter `tryOtherMounters`. */
  readonly tryOthers?: boolean | undefined;
}

/** The first of `attachers`, in the order of preference, that this node can use with an image of these features. */
export async function chooseAttacher<A extends RbdAttacher>(
  attachers: readonly A[],
  features: readonly string[],
  { attacher: wanted, tryOthers = false }: AttacherWish = {},
): Promise<AttacherChoice<A>> {
  const reasons: string[] = [];
  const rank = (attacher: A) => (attacher.name === wanted ? 0 : 1);
  for (const attacher of attachers.toSorted((a, b) => rank(a) - rank(b))) {
    if (wanted !== undefined && attacher.name !== wanted && !tryOthers) {
      reasons.push(`${attacher.name}: ${wanted} was asked for`);
      continue;
    }
    const reason = await attacher.unusable(features);
    if (reason === undefined) return { attacher, reasons };
    reasons.push(`${attacher.name}: ${reason}`);
  }
  return { attacher: undefined, reasons };
}

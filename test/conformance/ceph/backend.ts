import { setMaxListeners } from 'node:events';
import { isCephError } from '../../../src/ceph/errors.ts';
import type { Ceph } from '../../../src/ceph/seam.ts';

/** One cluster, fake or real. */
export interface Backend {
  readonly ceph: Ceph;
  /** Another client of the same cluster. */
  readonly other: Ceph;
  stop(): Promise<void>;
}

/** What holds for every backend, by the sentence that says it. They run in order, each after itself as it found things. */
export type Conformance = Readonly<Record<string, (backend: Backend) => Promise<void>>>;

export const signal = AbortSignal.timeout(200_000);
setMaxListeners(0, signal); // Shared by every call here.
export const options = { signal };
export const rbd = { pool: 'rbd' };

/** `ENOENT`, or what else came of it. */
export async function nameOf(work: Promise<unknown>): Promise<string> {
  try {
    await work;
  } catch (error) {
    return isCephError(error) ? error.errnoName : String(error);
  }
  return 'no error';
}

import { deletedImagesObject } from '../../ceph/pools.ts';
import type { Ceph, CephCallOptions, PoolPlace } from '../../ceph/seam.ts';
import { createWorkQueue } from '../../control/work-queue.ts';
import type { Clock } from '../../lib/clock.ts';
import type { Logger } from '../../lib/log.ts';

/**
 * Removes, in the background, the objects of images that were deleted. Which ones is kept in Ceph, in the omap
 * of `deletedImagesObject`, so that nothing is forgotten when this process dies, and nothing is
 * removed that somebody else put into the trash to keep.
 */
export interface TrashBin {
  /** Moves an image out of the way at once, and notes that its objects may go. */
  take(ceph: Ceph, place: PoolPlace, image: TrashedImage, options: CephCallOptions): Promise<void>;
  /** Empties a pool's trash of the images noted. Returns at once; what fails is logged, and tried again later. */
  empty(ceph: Ceph, place: PoolPlace): void;
  /** The same, but only the first time a pool is spoken of: what a process before us left. */
  emptyOnce(ceph: Ceph, place: PoolPlace): void;
  /** Resolves when nothing is being emptied; a pool that waits for its next try does not count. */
  idle(): Promise<void>;
}

export interface TrashedImage {
  readonly id: string;
  readonly name: string;
}

export interface TrashBinDeps {
  readonly clock: Clock;
  readonly log: Logger;
  /** Ends the work; no round is begun after it. */
  readonly signal: AbortSignal;
}

const removeTimeoutMs = 600_000; // A large image has hundreds of thousands of objects.
const maxPoolsSeen = 1_000;
const poolsAtOnce = 4; // A large image in one pool must not hold up the others.
const firstRetryMs = 5_000;
const lastRetryMs = 600_000;
const maxTries = 20; // Over two hours; after that the next call for the pool begins anew.

/** One round at a time for each pool; a call during a round is answered by one more. */
export function trashBin({ clock, log, signal }: TrashBinDeps): TrashBin {
  const queue = createWorkQueue({ clock, baseDelayMs: firstRetryMs, maxDelayMs: lastRetryMs });
  const pools = new Map<string, { readonly ceph: Ceph; readonly place: PoolPlace; tries: number }>();
  const seen = new Set<string>();
  const waiting: (() => void)[] = [];
  const keyOf = (place: PoolPlace) => `${place.pool}/${place.namespace ?? ''}`;
  const isIdle = () => queue.ready + queue.working === 0;

  const round = async (key: string) => {
    const pool = pools.get(key);
    if (!pool) return;
    let left = true;
    try {
      left = await emptyNow(pool.ceph, pool.place, log, signal);
    } catch (error) {
      if (signal.aborted) return;
      log.warn({ err: error, pool: pool.place.pool }, 'the trash could not be emptied');
    }
    pool.tries++;
    if (left && pool.tries < maxTries) {
      queue.addAfterFailure(key);
      return;
    }
    queue.forget(key);
    pool.tries = 0;
  };
  const worker = async () => {
    for (let key = await queue.take(); key !== undefined; key = await queue.take()) {
      await round(key);
      queue.release(key);
      if (isIdle()) for (const wake of waiting.splice(0)) wake();
    }
  };
  for (let count = 0; count < poolsAtOnce; count++) void worker();
  signal.addEventListener('abort', () => queue.close(), { once: true });
  if (signal.aborted) queue.close();

  const bin: TrashBin = {
    async take(ceph, place, { id, name }, options) {
      await ceph.objects.omapSet(place, deletedImagesObject, new Map([[id, name]]), options);
      await ceph.rbd.trashMove(place, name, 0, options);
    },
    emptyOnce(ceph, place) {
      if (seen.has(keyOf(place)) || seen.size >= maxPoolsSeen) return;
      seen.add(keyOf(place));
      bin.empty(ceph, place);
    },
    empty(ceph, place) {
      const key = keyOf(place);
      // The newest connection, for an older one may have been closed since.
      pools.set(key, { ceph, place, tries: pools.get(key)?.tries ?? 0 });
      queue.add(key);
    },
    async idle() {
      if (!isIdle()) await new Promise<void>((resolve) => waiting.push(resolve));
    },
  };
  return bin;
}

/** Removes what is noted. Answers whether something is left that another try may remove. */
async function emptyNow(ceph: Ceph, place: PoolPlace, log: Logger, signal: AbortSignal): Promise<boolean> {
  const noted = await ceph.objects.omapList(place, deletedImagesObject, { signal });
  if (noted.size === 0) return false;
  const listTrash = async () => new Set((await ceph.rbd.trashList(place, { signal })).map(({ id }) => id));
  const trashed = await listTrash();
  let left = false;
  for (const [id, name] of noted) {
    try {
      // Noted, and not yet moved: a delete is under way, or died there and is asked for again.
      if (!trashed.has(id) && (await ceph.rbd.info(place, name, { signal }))?.id === id) continue;
      // It may have been moved since the trash was listed: the note is the only trace of it, so look again.
      if (trashed.has(id) || (await listTrash()).has(id))
        await ceph.rbd.trashRemove(place, id, { signal, timeoutMs: removeTimeoutMs });
      await ceph.objects.omapRemove(place, deletedImagesObject, [id], { signal });
    } catch (error) {
      signal.throwIfAborted();
      left = true;
      log.warn({ err: error, pool: place.pool, image: name }, 'a deleted image stays in the trash for now');
    }
  }
  return left;
}

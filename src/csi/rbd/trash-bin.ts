import type { Ceph, CephCallOptions, PoolPlace } from '../../ceph/seam.ts';
import type { Logger } from '../../lib/log.ts';

/**
 * Removes, in the background, the objects of images that were deleted. Which ones is kept in Ceph, in the omap
 * of `holdfast.trash` (image id -> name), so that nothing is forgotten when this process dies, and nothing is
 * removed that somebody else put into the trash to keep.
 */
export interface TrashBin {
  /** Moves an image out of the way at once, and notes that its objects may go. */
  take(ceph: Ceph, place: PoolPlace, image: TrashedImage, options: CephCallOptions): Promise<void>;
  /** Empties a pool's trash of the images noted. Returns at once; failures are logged and tried with the next call. */
  empty(ceph: Ceph, place: PoolPlace): void;
  /** The same, but only the first time a pool is spoken of: what a process before us left. */
  emptyOnce(ceph: Ceph, place: PoolPlace): void;
  /** Resolves when nothing is being emptied. */
  idle(): Promise<void>;
}

export interface TrashedImage {
  readonly id: string;
  readonly name: string;
}

const noteObject = 'holdfast.trash';
const removeTimeoutMs = 600_000; // A large image has hundreds of thousands of objects.
const maxPoolsSeen = 1_000;

/** One round at a time for each pool; a call during a round is answered by one more. */
export function trashBin({ log, signal }: { readonly log: Logger; readonly signal: AbortSignal }): TrashBin {
  const rounds = new Map<string, { again: boolean; run: Promise<void> }>();
  const seen = new Set<string>();
  const keyOf = (place: PoolPlace) => `${place.pool}/${place.namespace ?? ''}`;

  const bin: TrashBin = {
    async take(ceph, place, { id, name }, options) {
      await ceph.objects.omapSet(place, noteObject, new Map([[id, name]]), options);
      await ceph.rbd.trashMove(place, name, 0, options);
    },
    emptyOnce(ceph, place) {
      if (seen.has(keyOf(place)) || seen.size >= maxPoolsSeen) return;
      seen.add(keyOf(place));
      bin.empty(ceph, place);
    },
    empty(ceph, place) {
      const key = keyOf(place);
      const running = rounds.get(key);
      if (running) {
        running.again = true;
        return;
      }
      const state = { again: false, run: Promise.resolve() };
      rounds.set(key, state);
      state.run = (async () => {
        try {
          do {
            state.again = false;
            await emptyNow(ceph, place, log, signal);
          } while (state.again);
        } catch (error) {
          if (!signal.aborted) log.warn({ err: error, pool: place.pool }, 'the trash could not be emptied');
        } finally {
          rounds.delete(key);
        }
      })();
    },
    async idle() {
      while (rounds.size > 0) await Promise.all([...rounds.values()].map((state) => state.run));
    },
  };
  return bin;
}

async function emptyNow(ceph: Ceph, place: PoolPlace, log: Logger, signal: AbortSignal): Promise<void> {
  const noted = await ceph.objects.omapList(place, noteObject, { signal });
  if (noted.size === 0) return;
  const trashed = new Set((await ceph.rbd.trashList(place, { signal })).map(({ id }) => id));
  for (const [id, name] of noted) {
    try {
      if (trashed.has(id)) await ceph.rbd.trashRemove(place, id, { signal, timeoutMs: removeTimeoutMs });
      // Noted, and not yet moved: a delete is under way, or died there and is asked for again.
      else if ((await ceph.rbd.info(place, name, { signal }))?.id === id) continue;
      await ceph.objects.omapRemove(place, noteObject, [id], { signal });
    } catch (error) {
      signal.throwIfAborted();
      log.warn({ err: error, pool: place.pool, image: name }, 'a deleted image stays in the trash for now');
    }
  }
}

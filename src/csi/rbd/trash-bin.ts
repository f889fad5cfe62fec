import type { Ceph, PoolPlace } from '../../ceph/seam.ts';
import type { Logger } from '../../lib/log.ts';

/** Removes, in the background, the objects of images that were deleted. */
export interface TrashBin {
  /** Empties a pool's trash of images that a CSI driver made. Returns at once; failures are logged and tried with the next call. */
  empty(ceph: Ceph, place: PoolPlace): void;
  /** Resolves when nothing is being emptied. */
  idle(): Promise<void>;
}

const oursByName = /^csi-vol-|-[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
const removeTimeoutMs = 600_000; // A large image has hundreds of thousands of objects.

/** One round at a time for each pool; a call during a round is answered by one more. */
export function trashBin({ log, signal }: { readonly log: Logger; readonly signal: AbortSignal }): TrashBin {
  const rounds = new Map<string, { again: boolean; run: Promise<void> }>();
  const round = async (ceph: Ceph, place: PoolPlace) => {
    for (const { id, name } of await ceph.rbd.trashList(place, { signal })) {
      if (!oursByName.test(name)) continue; // Somebody else's, kept in the trash on purpose.
      try {
        await ceph.rbd.trashRemove(place, id, { signal, timeoutMs: removeTimeoutMs });
      } catch (error) {
        signal.throwIfAborted();
        log.warn({ err: error, pool: place.pool, image: name }, 'a deleted image stays in the trash for now');
      }
    }
  };
  return {
    empty(ceph, place) {
      const key = `${place.pool}/${place.namespace ?? ''}`;
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
            await round(ceph, place);
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
}

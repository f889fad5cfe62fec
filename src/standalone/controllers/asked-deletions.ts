import type { Clock } from '../../lib/clock.ts';

const limitMs = 300_000;

/**
 * The uids that we asked the API to delete and that the cache may still show as alive. They count as
 * terminating, so that a second look before the watch's news deletes nothing more.
 */
export interface AskedDeletions {
  note(uid: string): void;
  has(uid: string): boolean;
}

export function askedDeletions(clock: Clock): AskedDeletions {
  const asked = new Map<string, number>();
  const sweep = () => {
    // In the order asked, so the old ones come first.
    for (const [uid, atMs] of asked) {
      if (clock.now() - atMs < limitMs) return;
      asked.delete(uid);
    }
  };
  return {
    note(uid) {
      sweep();
      asked.delete(uid);
      asked.set(uid, clock.now());
    },
    has(uid) {
      const atMs = asked.get(uid);
      return atMs !== undefined && clock.now() - atMs < limitMs;
    },
  };
}

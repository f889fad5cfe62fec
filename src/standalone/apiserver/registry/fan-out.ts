/** Wakes readers a few at a time, so that a change that many watch does not hold up everyone else's requests. */
export interface FanOut {
  /** Runs `wake` in one of the next turns of the event loop; once, however often it is asked for before that. */
  soon(wake: () => void): void;
  /** Not, then. */
  forget(wake: () => void): void;
}

/** What one turn may cost: at about 30 us for a watcher's line, half a millisecond. */
const wokenPerTurn = 16;

/**
 * Readers wait in the order in which they were asked for. Those that wait long under load find several changes
 * at once, and take them in one go: the more there is to do, the cheaper each becomes.
 */
export function fanOut(nextTurn: (act: () => void) => void = setImmediate): FanOut {
  const waiting = new Set<() => void>();
  let planned = false;

  function plan(): void {
    if (planned || waiting.size === 0) return;
    planned = true;
    nextTurn(() => {
      planned = false;
      let left = wokenPerTurn;
      for (const wake of waiting) {
        if (left-- === 0) break;
        waiting.delete(wake);
        wake();
      }
      plan();
    });
  }

  return {
    soon(wake) {
      waiting.add(wake);
      plan();
    },
    forget: (wake) => void waiting.delete(wake),
  };
}

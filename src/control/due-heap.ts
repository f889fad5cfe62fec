interface Entry {
  readonly name: string;
  readonly dueMs: number;
}

/** Names ordered by when they are due; each is in it once, at its earliest time. */
export interface DueHeap {
  readonly size: number;
  /** Says whether the name's time is new or earlier than before. */
  set(name: string, dueMs: number): boolean;
  drop(name: string): void;
  earliestMs(): number | undefined;
  /** Takes out every name that is due, earliest first. */
  takeDue(nowMs: number): string[];
  clear(): void;
}

/** A binary heap; entries that were dropped or moved stay in it, out of date, until they come up. */
export function createDueHeap(): DueHeap {
  const current = new Map<string, number>();
  let entries: Entry[] = [];

  const at = (index: number): Entry => entries[index] as Entry;
  const swap = (a: number, b: number) => {
    const entry = at(a);
    entries[a] = at(b);
    entries[b] = entry;
  };
  const push = (entry: Entry) => {
    entries.push(entry);
    for (let child = entries.length - 1; child > 0;) {
      const parent = (child - 1) >> 1;
      if (at(parent).dueMs <= at(child).dueMs) return;
      swap(parent, child);
      child = parent;
    }
  };
  const pop = (): Entry => {
    const top = at(0);
    const last = entries.pop() as Entry;
    if (entries.length === 0) return top;
    entries[0] = last;
    for (let parent = 0; ;) {
      const left = parent * 2 + 1;
      if (left >= entries.length) return top;
      const right = left + 1;
      const least = right < entries.length && at(right).dueMs < at(left).dueMs ? right : left;
      if (at(parent).dueMs <= at(least).dueMs) return top;
      swap(parent, least);
      parent = least;
    }
  };
  const isCurrent = (entry: Entry) => current.get(entry.name) === entry.dueMs;
  const skipStale = () => {
    while (entries.length > 0 && !isCurrent(at(0))) pop();
  };
  return {
    get size() {
      return current.size;
    },
    set(name, dueMs) {
      const before = current.get(name);
      if (before !== undefined && before <= dueMs) return false;
      current.set(name, dueMs);
      push({ name, dueMs });
      // Out-of-date entries are bounded by a rebuild once they are most of the heap.
      if (entries.length > 64 && entries.length > current.size * 4) {
        const live = [...current].map(([one, ms]) => ({ name: one, dueMs: ms }));
        entries = live.sort((a, b) => a.dueMs - b.dueMs); // A sorted list is a heap.
      }
      return true;
    },
    drop(name) {
      current.delete(name);
    },
    earliestMs() {
      skipStale();
      return entries.length === 0 ? undefined : at(0).dueMs;
    },
    takeDue(nowMs) {
      const names: string[] = [];
      for (skipStale(); entries.length > 0 && at(0).dueMs <= nowMs; skipStale()) {
        const { name } = pop();
        current.delete(name);
        names.push(name);
      }
      return names;
    },
    clear() {
      current.clear();
      entries = [];
    },
  };
}

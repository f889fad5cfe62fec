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

  const skipStale = () => {
    for (let top = entries[0]; top && current.get(top.name) !== top.dueMs; top = entries[0]) pop(entries);
  };
  return {
    get size() {
      return current.size;
    },
    set(name, dueMs) {
      const before = current.get(name);
      if (before !== undefined && before <= dueMs) return false;
      current.set(name, dueMs);
      push(entries, { name, dueMs });
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
      return entries[0]?.dueMs;
    },
    takeDue(nowMs) {
      const names: string[] = [];
      for (skipStale(); (entries[0]?.dueMs ?? Infinity) <= nowMs; skipStale()) {
        const { name } = pop(entries);
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

const at = (entries: readonly Entry[], index: number): Entry => entries[index] as Entry;

function swap(entries: Entry[], a: number, b: number): void {
  const entry = at(entries, a);
  entries[a] = at(entries, b);
  entries[b] = entry;
}

function push(entries: Entry[], entry: Entry): void {
  entries.push(entry);
  for (let child = entries.length - 1; child > 0;) {
    const parent = (child - 1) >> 1;
    if (at(entries, parent).dueMs <= at(entries, child).dueMs) return;
    swap(entries, parent, child);
    child = parent;
  }
}

/** Takes the earliest entry out; there has to be one. */
function pop(entries: Entry[]): Entry {
  const top = at(entries, 0);
  const last = entries.pop() as Entry;
  if (entries.length === 0) return top;
  entries[0] = last;
  for (let parent = 0; ;) {
    const left = parent * 2 + 1;
    if (left >= entries.length) return top;
    const right = left + 1;
    const leftFirst = right >= entries.length || at(entries, left).dueMs <= at(entries, right).dueMs;
    const least = leftFirst ? left : right;
    if (at(entries, parent).dueMs <= at(entries, least).dueMs) return top;
    swap(entries, parent, least);
    parent = least;
  }
}

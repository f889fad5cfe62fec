/** Where the items that are not yet `done` begin, in a list whose first ones are done and whose others are not. */
export function partitionPoint<T>(items: readonly T[], done: (item: T) => boolean): number {
  let low = 0;
  let high = items.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (done(items[middle] as T)) low = middle + 1;
    else high = middle;
  }
  return low;
}

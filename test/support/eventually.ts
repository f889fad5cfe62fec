import { setTimeout as sleep } from 'node:timers/promises';

/** Looks until it is so; a look that fails is one more. Answers after how many ms. */
export async function eventually(
  what: string,
  limitMs: number,
  look: () => Promise<boolean>,
  everyMs = 100,
): Promise<number> {
  const startedMs = performance.now();
  while (!(await look().catch(() => false))) {
    if (performance.now() - startedMs > limitMs) throw new Error(`${what}: not within ${limitMs} ms`);
    await sleep(everyMs);
  }
  return performance.now() - startedMs;
}

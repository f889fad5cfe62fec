/** What a reconcile says about its next turn. Errors are thrown: the queue backs off by itself. */
export type Outcome = { readonly kind: 'done' } | { readonly kind: 'requeue'; readonly afterMs: number };

/** Nothing to do until something changes. */
export const done: Outcome = { kind: 'done' };

/** Look again after `afterMs` even where nothing changes. */
export const requeueAfter = (afterMs: number): Outcome => ({ kind: 'requeue', afterMs });

/** The outcome that comes back earliest. */
export function earliest(...outcomes: readonly Outcome[]): Outcome {
  let best: Outcome = done;
  for (const outcome of outcomes) {
    if (outcome.kind === 'done') continue;
    if (best.kind === 'done' || outcome.afterMs < best.afterMs) best = outcome;
  }
  return best;
}

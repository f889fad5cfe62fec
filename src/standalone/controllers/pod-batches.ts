import type { Pod } from 'kubernetes-types/core/v1.js';
import { Pods } from '../../api/core.ts';
import { refOf, type KubeObject, type Stored } from '../../api/resource.ts';
import type { KubeClient } from '../../kube/client.ts';
import { isConflict, isNamespaceTerminating } from '../../kube/errors.ts';
import type { EventRecorder } from '../../kube/events.ts';
import type { RunningCache } from '../../kube/watch-cache.ts';
import { mapLimit } from '../../lib/map-limit.ts';
import type { AskedDeletions } from './asked-deletions.ts';

const atOnce = 16;
/** At most so many in one reconcile; the rest comes with the next. */
const maxBatch = 500;

export interface PodBatch {
  readonly client: KubeClient;
  readonly cache: RunningCache<Pod>;
  readonly events: EventRecorder;
  readonly owner: Stored<KubeObject>;
  readonly signal: AbortSignal;
}

/**
 * Creates pods in growing steps (1, 2, 4 ...), so that a template that the API refuses costs one call and
 * not hundreds. What was made goes into the cache at once: the next look counts it. The first failure
 * ends it and is answered, not thrown, for the caller has a status to write first.
 */
export async function createPods(
  batch: PodBatch,
  wanted: readonly Pod[],
): Promise<{ readonly pods: readonly Stored<Pod>[]; readonly failure?: Error }> {
  const { client, cache, events, owner, signal } = batch;
  const pods: Stored<Pod>[] = [];
  const todo = wanted.slice(0, maxBatch);
  try {
    for (let from = 0, step = 1; from < todo.length; from += step, step *= 2) {
      await mapLimit(todo.slice(from, from + step), atOnce, async (pod) => {
        const made = await client.create(Pods, pod, { signal });
        cache.remember(made);
        pods.push(made);
        events.event(owner, 'Normal', 'SuccessfulCreate', `Created pod: ${made.metadata.name}`);
      });
    }
  } catch (error) {
    if (isNamespaceTerminating(error)) return { pods }; // Nothing to mend: the namespace goes.
    const failure = error instanceof Error ? error : new Error(String(error));
    if (!signal.aborted) {
      events.event(owner, 'Warning', 'FailedCreate', `Error creating: ${failure.message}`);
    }
    return { pods, failure };
  }
  return { pods };
}

/** Deletes pods by uid and notes each as asked; answers the first failure. */
export async function deletePods(
  batch: PodBatch,
  pods: readonly Stored<Pod>[],
  asked: AskedDeletions,
): Promise<Error | undefined> {
  const { client, events, owner, signal } = batch;
  try {
    await mapLimit(pods.slice(0, maxBatch), atOnce, async (pod) => {
      try {
        await client.delete(Pods, refOf(pod), { signal, uid: pod.metadata.uid });
      } catch (error) {
        // Another pod has the name by now, so ours is gone.
        if (!isConflict(error)) throw error;
      }
      asked.note(pod.metadata.uid);
      events.event(owner, 'Normal', 'SuccessfulDelete', `Deleted pod: ${pod.metadata.name}`);
    });
    return undefined;
  } catch (error) {
    const failure = error instanceof Error ? error : new Error(String(error));
    if (!signal.aborted) {
      events.event(owner, 'Warning', 'FailedDelete', `Error deleting: ${failure.message}`);
    }
    return failure;
  }
}

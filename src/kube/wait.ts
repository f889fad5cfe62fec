import type { KubeObject, ObjectRef, Resource, Stored } from '../api/resource.ts';
import { keyOf } from '../api/resource.ts';
import { systemClock, type Clock } from '../lib/clock.ts';
import { DeadlineError, isDeadlineError, withDeadline } from '../lib/deadline.ts';
import type { KubeClient } from './client.ts';
import { watchResource } from './watcher.ts';

export interface WaitOptions {
  readonly signal: AbortSignal;
  readonly timeoutMs: number;
  readonly clock?: Clock;
}

/**
 * Watches one object until `accept` is content with it (it gets undefined where there is none), and
 * answers that state. Throws DeadlineError after `timeoutMs`.
 */
export async function waitForObject<T extends KubeObject>(
  client: KubeClient,
  resource: Resource<T>,
  ref: ObjectRef,
  accept: (object: Stored<T> | undefined) => boolean,
  options: WaitOptions,
): Promise<Stored<T> | undefined> {
  const { signal, timeoutMs, clock = systemClock } = options;
  const selection = { namespace: ref.namespace, fieldSelector: `metadata.name=${ref.name}` };
  const what = `${resource.kind} ${keyOf(ref)}`;
  try {
    return await withDeadline(what, timeoutMs, signal, async (own) => {
      let current: Stored<T> | undefined;
      let listed = false;
      for await (const event of watchResource(client, resource, selection, { clock, signal: own })) {
        if (event.type === 'init') {
          current = undefined;
          listed = false;
        } else if (event.type === 'initDone') listed = true;
        else if (event.type === 'delete') current = undefined;
        else if (event.type === 'initApply' || event.type === 'apply') current = event.object;
        if (listed && accept(current)) return current;
      }
      own.throwIfAborted();
      throw new DeadlineError(what, timeoutMs);
    });
  } catch (error) {
    if (isDeadlineError(error)) throw error;
    signal.throwIfAborted();
    throw error;
  }
}

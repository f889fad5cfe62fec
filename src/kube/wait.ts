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
 * answers that state. Throws DeadlineError after `timeoutMs`, with the state that it stayed in.
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
  let current: Stored<T> | undefined;
  let listed = false;
  try {
    return await withDeadline(what, timeoutMs, signal, async (own) => {
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
    signal.throwIfAborted();
    // One of a call within says itself what it waited for.
    if (isDeadlineError(error) && error.what === what)
      throw new DeadlineError(what, timeoutMs, listed ? stateOf(current) : 'the API was not reached');
    throw error;
  }
}

/** In the words of its status; its kind may have neither a phase nor a message. */
function stateOf(object: KubeObject | undefined): string {
  if (!object) return 'it is not there';
  const { phase, message } = (object as { status?: { phase?: string; message?: string } }).status ?? {};
  const words = [phase, message].filter((word) => word !== undefined && word !== '').join(': ');
  const deleting = object.metadata?.deletionTimestamp === undefined ? '' : ', being deleted';
  return `it is ${words || 'there'}${deleting}`;
}

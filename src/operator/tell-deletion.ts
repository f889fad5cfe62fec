import type { Reason } from '../api/reasons.ts';
import type { Resource, Stored } from '../api/resource.ts';
import { setCondition, type Condition } from '../control/conditions.ts';
import { writeStatus } from '../control/status.ts';
import type { KubeClient } from '../kube/client.ts';
import type { Clock } from '../lib/clock.ts';
import type { Newsworthy } from './news.ts';

export interface DeletionWord {
  /** It stays until what `message` names is gone. */
  readonly blocked: boolean;
  readonly reason: Reason;
  readonly message: string;
  /** Fields of this kind’s status that say the phase once more. */
  readonly also?: object;
}

/** Says in the status of a deleted object what its deletion waits for: phase, message and `DeletionIsBlocked`. */
export async function tellDeletion<T extends Newsworthy>(
  { kube, clock }: { readonly kube: KubeClient; readonly clock: Clock },
  resource: Resource<T>,
  object: Stored<T>,
  { blocked, reason, message, also }: DeletionWord,
  signal: AbortSignal,
): Promise<void> {
  const withWord = (current: Stored<T>) => {
    const conditions = setCondition(
      current.status?.conditions as Condition[] | undefined,
      {
        type: 'DeletionIsBlocked',
        status: blocked,
        reason,
        message,
        observedGeneration: current.metadata.generation,
      },
      clock.now(),
    );
    return { ...current.status, phase: 'Deleting', message, ...also, conditions } as NonNullable<T['status']>;
  };
  await writeStatus(kube, resource, object, withWord, { signal });
}

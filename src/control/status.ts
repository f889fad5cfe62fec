import { refOf, type KubeObject, type Resource, type Stored } from '../api/resource.ts';
import type { CallOptions, KubeClient } from '../kube/client.ts';
import { isConflict, isNotFound } from '../kube/errors.ts';
import { patchStatus } from '../kube/patch.ts';

/**
 * Writes the status that `compute` gives, only where it differs, as a compare-and-swap: after a conflict
 * the object is read anew and `compute` asked again, so that no writer's status is lost. Answers the
 * object as it is now, or undefined where it is gone (or was made anew under its name).
 */
export async function writeStatus<T extends KubeObject & { status?: unknown }>(
  client: KubeClient,
  resource: Resource<T>,
  object: Stored<T>,
  compute: (current: Stored<T>) => NonNullable<T['status']>,
  options: CallOptions,
): Promise<Stored<T> | undefined> {
  let current: Stored<T> | undefined = object;
  for (let attempt = 0; ; attempt++) {
    if (!current || current.metadata.uid !== object.metadata.uid) return undefined;
    try {
      return await patchStatus(client, resource, current, compute(current), {
        ...options,
        ifUnchanged: true,
      });
    } catch (error) {
      if (isNotFound(error)) return undefined;
      if (!isConflict(error) || attempt >= 5) throw error;
      current = await client.get(resource, refOf(object), options);
    }
  }
}

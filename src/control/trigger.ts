import type { KubeObject, ObjectRef, Resource, Stored } from '../api/resource.ts';
import type { Selection } from '../kube/client.ts';
import { controllerOf } from '../kube/owner-reference.ts';
import type { Trigger } from './reconciler.ts';

/**
 * A trigger for a spec's list. The list holds triggers of many kinds, so the object's type is given up
 * here; the controller only ever hands `map` objects of `resource`.
 */
export function triggeredBy<W extends KubeObject>(
  resource: Resource<W>,
  map: (object: Stored<W>) => readonly ObjectRef[],
  selection: Selection & Pick<Trigger<W>, 'sees'> = {},
): Trigger<never> {
  const { namespace, labelSelector, fieldSelector, sees } = selection;
  return {
    resource: resource as Resource<never>,
    map: map as (object: never) => readonly ObjectRef[],
    ...(sees === undefined ? {} : { sees: sees as (object: never) => unknown }),
    ...(namespace === undefined ? {} : { namespace }),
    ...(labelSelector === undefined ? {} : { labelSelector }),
    ...(fieldSelector === undefined ? {} : { fieldSelector }),
  };
}

/** Changes of `resource` enqueue their controller, where it is of `ownerKind`. */
export const triggeredByOwned = <W extends KubeObject>(
  resource: Resource<W>,
  ownerKind: string,
  selection?: Selection,
): Trigger<never> =>
  triggeredBy(
    resource,
    (object) => {
      const owner = controllerOf(object);
      if (owner?.kind !== ownerKind) return [];
      return [{ namespace: object.metadata.namespace, name: owner.name }];
    },
    selection,
  );

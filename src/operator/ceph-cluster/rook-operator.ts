import { Pods } from '../../api/core.ts';
import { setCondition, type Condition, type ConditionUpdate } from '../../control/conditions.ts';
import type { OwnedObjects } from '../objects.ts';

const rookImage = /(^|\/)rook\/ceph(:|@|$)/;
export const operatorPods = 'app=rook-ceph-operator';

/**
 * `namespace/name` of a pod in which Rook's operator runs, or undefined. While one runs, two operators
 * would fight over the same names, so ours touches nothing. Pods are looked at, not the Deployment: ours
 * bears the same name, and while a rollout replaces Rook by it, only Rook's pod still tells. Where Rook's name
 * stands for our image, as in standalone, a pod of the very image that we run from is one of us.
 */
export async function liveRookOperator(
  objects: OwnedObjects,
  namespaces: readonly string[],
  signal: AbortSignal,
  ownImage: string | undefined,
): Promise<string | undefined> {
  for (const namespace of new Set(namespaces)) {
    const pods = await objects.list(Pods, namespace, signal, operatorPods);
    const live = pods.find(
      ({ spec, status }) =>
        spec?.containers.some(({ image }) => rookImage.test(image ?? '') && image !== ownImage) &&
        status?.containerStatuses?.some(({ state, ready }) => ready || state?.running !== undefined),
    );
    if (live) return `${namespace}/${live.metadata.name}`;
  }
  return undefined;
}

const type = 'RookOperatorActive';

/** While Rook runs, phase and health are Rook’s to say: all that we add is why we stand back. */
export const standingBack = (
  conditions: readonly Condition[] | undefined,
  message: string,
  nowMs: number,
): Condition[] =>
  setCondition(conditions, { type, status: true, reason: 'RookOperatorActive', message }, nowMs);

/** Takes that back once Rook is gone. */
export const noLongerStandingBack = (
  conditions: readonly { type?: string | undefined }[] | undefined,
): ConditionUpdate[] =>
  conditions?.some((one) => one.type === type)
    ? [{ type, status: false, reason: 'ReconcileStarted', message: 'No Rook operator runs here any more' }]
    : [];

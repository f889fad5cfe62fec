import type { Deployment } from 'kubernetes-types/apps/v1.js';
import { Deployments } from '../../api/core.ts';
import type { Stored } from '../../api/resource.ts';
import type { OwnedObjects } from '../objects.ts';

const rookImage = /(^|\/)rook\/ceph(:|@|$)/;

/**
 * The Deployment of a live Rook operator, or undefined. While one runs, two operators would fight over
 * the same names, so ours touches nothing. Ours may bear the very same Deployment name: the image tells.
 */
export async function liveRookOperator(
  objects: OwnedObjects,
  namespaces: readonly string[],
  signal: AbortSignal,
): Promise<Stored<Deployment> | undefined> {
  for (const namespace of new Set(namespaces)) {
    const found = await objects.get(Deployments, { namespace, name: 'rook-ceph-operator' }, signal);
    const images = found?.spec?.template.spec?.containers.map((container) => container.image ?? '') ?? [];
    if (found && images.some((image) => rookImage.test(image)) && (found.status?.readyReplicas ?? 0) > 0)
      return found;
  }
  return undefined;
}

import type { Ceph, CephCallOptions, PoolPlace } from '../../ceph/seam.ts';
import { Code, RpcError } from '../../lib/grpc.ts';
import { attachedNode, unlockNode } from './node-lock.ts';

/**
 * Gives back an image's lock where `node` has it (whoever has it, where none is named). FailedPrecondition while
 * a client has the image open: a forced detach comes while the node may still write.
 */
export async function detachImage(
  ceph: Ceph,
  place: PoolPlace,
  image: { readonly id: string; readonly name: string },
  node: string | undefined,
  options: CephCallOptions,
): Promise<void> {
  const holder = await attachedNode(ceph, place, image.id, options);
  if (holder === undefined || (node !== undefined && holder !== node)) return;
  const [watcher] = await ceph.rbd.watchers(place, image.name, options);
  if (watcher)
    throw new RpcError(
      Code.FAILED_PRECONDITION,
      `image ${image.name} is still open on node ${holder} (${watcher.address}): it has to be unstaged there, or the node fenced`,
    );
  await unlockNode(ceph, place, { imageId: image.id, node }, options);
}

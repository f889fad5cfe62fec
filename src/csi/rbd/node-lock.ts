import { isCephError } from '../../ceph/errors.ts';
import type { Ceph, CephCallOptions, LockHolder, PoolPlace } from '../../ceph/seam.ts';
import { Code, RpcError } from '../../lib/grpc.ts';

/**
 * Who has a single-node volume: a cls_lock on the image's header object. Ceph's own exclusive lock moves
 * between clients by itself, and looking at watchers is check-then-act; this one is taken by a single
 * compare in the OSD, stays through crashes of ours, and is given up only by a detach.
 */
const lockName = 'holdfast.node';
const cookieOf = (node: string) => `node:${node}`;
const nodeOf = (holder: LockHolder) => holder.cookie.replace(/^node:/, '');
const headerOf = (imageId: string) => `rbd_header.${imageId}`;

/** Takes the lock for a node; FailedPrecondition, naming the holder, where another node has it. */
export async function lockForNode(
  ceph: Ceph,
  place: PoolPlace,
  { imageId, handle, node }: { readonly imageId: string; readonly handle: string; readonly node: string },
  options: CephCallOptions,
): Promise<void> {
  const cookie = cookieOf(node);
  try {
    await ceph.objects.lock(
      place,
      headerOf(imageId),
      { name: lockName, cookie, description: handle },
      options,
    );
    return;
  } catch (error) {
    if (isCephError(error, 'EEXIST')) return; // This very process took it before.
    if (!isCephError(error, 'EBUSY')) throw error;
  }
  const [holder] = await ceph.objects.lockHolders(place, headerOf(imageId), lockName, options);
  if (holder?.cookie === cookie) return; // Taken for the same node by a process before us.
  if (!holder)
    throw new RpcError(Code.ABORTED, `volume ${handle} was just given up by another node; try again`);
  throw new RpcError(
    Code.FAILED_PRECONDITION,
    `volume ${handle} is attached to node ${nodeOf(holder)}: it has to be detached there first`,
  );
}

/** Gives a node's lock back; without a node, whoever has it. One that is not held is no error. */
export async function unlockNode(
  ceph: Ceph,
  place: PoolPlace,
  { imageId, node }: { readonly imageId: string; readonly node: string | undefined },
  options: CephCallOptions,
): Promise<void> {
  for (const holder of await ceph.objects.lockHolders(place, headerOf(imageId), lockName, options)) {
    if (node !== undefined && holder.cookie !== cookieOf(node)) continue;
    try {
      // Broken and not unlocked: the client that took it may have been a process before us.
      await ceph.objects.breakLock(place, headerOf(imageId), lockName, holder, options);
    } catch (error) {
      if (!isCephError(error, 'ENOENT')) throw error;
    }
  }
}

/** The node that has the volume, or undefined. */
export async function attachedNode(
  ceph: Ceph,
  place: PoolPlace,
  imageId: string,
  options: CephCallOptions,
): Promise<string | undefined> {
  const [holder] = await ceph.objects.lockHolders(place, headerOf(imageId), lockName, options);
  return holder && nodeOf(holder);
}

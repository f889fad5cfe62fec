import { isCephError } from '../../ceph/errors.ts';
import type { Ceph, CephCallOptions, LockHolder, PoolPlace } from '../../ceph/seam.ts';
import { Code, RpcError } from '../../lib/grpc.ts';

/**
 * Who has a single-node volume: a cls_lock on the image's header object. Ceph's own exclusive lock moves
 * between clients by itself, and looking at watchers is check-then-act; this one is taken by a single
 * compare in the OSD, stays through crashes of ours, and is given up only by a detach.
 */
const lockName = 'holdfast.node';

/** A node as the lock names it. */
export interface LockNode {
  readonly name: string;
  /** Another one after each start of the node's kernel; unknown in locks of older builds. */
  readonly bootId?: string | undefined;
}

const cookieOf = ({ name, bootId }: LockNode) => `node:${name}${bootId ? ` boot:${bootId}` : ''}`;
const nodeOf = ({ cookie }: LockHolder): LockNode => {
  const [, name = cookie, bootId] = /^node:(\S+)(?: boot:(\S+))?$/.exec(cookie) ?? [];
  return { name, bootId };
};
/** Whether the lock is from before the node's last start: whatever it stood for ended with that. */
const isBeforeRestart = (holder: LockNode, node: LockNode) =>
  holder.bootId !== undefined && node.bootId !== undefined && holder.bootId !== node.bootId;
const headerOf = (imageId: string) => `rbd_header.${imageId}`;

/**
 * Takes the lock for a node; FailedPrecondition, naming the holder, where another node has it. One that the node
 * had before it was restarted is taken anew, so that the lock tells which start of the node it stands for.
 */
export async function lockForNode(
  ceph: Ceph,
  place: PoolPlace,
  { imageId, handle, node }: { readonly imageId: string; readonly handle: string; readonly node: LockNode },
  options: CephCallOptions,
): Promise<void> {
  const object = headerOf(imageId);
  const take = async (): Promise<boolean> => {
    try {
      const lock = { name: lockName, cookie: cookieOf(node), description: handle };
      await ceph.objects.lock(place, object, lock, options);
      return true;
    } catch (error) {
      if (isCephError(error, 'EEXIST')) return true; // This very process took it before.
      if (!isCephError(error, 'EBUSY')) throw error;
      return false;
    }
  };
  if (await take()) return;
  const [holder] = await ceph.objects.lockHolders(place, object, lockName, options);
  if (holder) {
    const there = nodeOf(holder);
    if (there.name !== node.name)
      throw new RpcError(
        Code.FAILED_PRECONDITION,
        `volume ${handle} is attached to node ${there.name}: it has to be detached there first`,
      );
    if (!isBeforeRestart(there, node)) return; // Taken for the same node by a process before us.
    await breakHolder(ceph, place, object, holder, options);
    if (await take()) return;
  }
  throw new RpcError(Code.ABORTED, `volume ${handle} was just given up by another node; try again`);
}

// Broken and not unlocked: the client that took it may have been a process before us.
async function breakHolder(
  ceph: Ceph,
  place: PoolPlace,
  object: string,
  holder: LockHolder,
  options: CephCallOptions,
): Promise<void> {
  try {
    await ceph.objects.breakLock(place, object, lockName, holder, options);
  } catch (error) {
    if (!isCephError(error, 'ENOENT')) throw error;
  }
}

/**
 * Gives a node's lock back, whichever start of the node took it; without a node, whoever has it. One that is not
 * held is no error.
 */
export async function unlockNode(
  ceph: Ceph,
  place: PoolPlace,
  { imageId, node }: { readonly imageId: string; readonly node: string | undefined },
  options: CephCallOptions,
): Promise<void> {
  for (const holder of await ceph.objects.lockHolders(place, headerOf(imageId), lockName, options)) {
    if (node !== undefined && nodeOf(holder).name !== node) continue;
    await breakHolder(ceph, place, headerOf(imageId), holder, options);
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
  return holder && nodeOf(holder).name;
}

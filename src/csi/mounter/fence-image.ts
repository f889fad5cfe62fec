import { networkInterfaces } from 'node:os';
import { addToBlocklist } from '../../ceph/blocklist.ts';
import { plainAddress } from '../../ceph/client-address.ts';
import { isCephError } from '../../ceph/errors.ts';
import type { Ceph, CephOpener, PoolPlace, RbdWatcher } from '../../ceph/seam.ts';
import type { Fence } from '../../host/qsd-steps.ts';
import { cephxEntity } from '../../lib/cephx-user.ts';
import type { Clock } from '../../lib/clock.ts';
import type { Logger } from '../../lib/log.ts';
import { attachedNode } from '../rbd/node-lock.ts';

export interface ImageFenceDeps {
  readonly openCeph: CephOpener;
  readonly clock: Clock;
  readonly log: Logger;
  /** The name of this node in locks; unknown to a pod of an older build. */
  readonly node: string | undefined;
  /** Addresses that clients of this node have; the mounter's pod is on the node's network. */
  readonly addresses?: () => ReadonlySet<string>;
}

// Each client has a random nonce in its address, so the entry never meets a living one; Ceph's own default.
const fencedSeconds = 3600;
// An OSD takes a dead client's watch away after 30 s.
const waitLimitMs = 45_000;

/**
 * Fences what a dead daemon of this node still had under way: writes that are in a socket's buffer, and the watch
 * and exclusive lock by which Ceph takes the client for alive for half a minute. Nobody else of this node has
 * the image open: the caller holds its attachment, and knows that the daemon is dead. The next client gets a map with
 * the entry in it from the mon, and no OSD serves it before having that map itself.
 */
export function imageFence({ openCeph, clock, log, node, addresses = ownAddresses }: ImageFenceDeps): Fence {
  return async ({ pool, namespace, image, monHost, user, key, exclusive }, signal) => {
    const ceph = openCeph({ monHost, user: cephxEntity(user), key });
    try {
      const own = addresses();
      const place = { pool, ...(namespace ? { namespace } : {}) };
      if (exclusive) await checkHolder(ceph, place, image, node, signal);
      const look = async () =>
        (await ceph.rbd.watchers(place, image, { signal })).filter((watcher) => own.has(hostOf(watcher)));
      let left = await look();
      for (const watcher of left) await block(ceph, watcher, signal, log);
      for (let waitedMs = 0; left.length > 0; waitedMs += 100) {
        if (waitedMs >= waitLimitMs) throw new Error(`${image} is still open by ${left[0]?.address}`);
        await clock.sleep(100, signal);
        left = await look();
      }
    } finally {
      await ceph.close();
    }
  };
}

/** The volume may have been detached by force while its daemon was dead, and be another node's by now. */
async function checkHolder(
  ceph: Ceph,
  place: PoolPlace,
  image: string,
  node: string | undefined,
  signal: AbortSignal,
): Promise<void> {
  const info = await ceph.rbd.info(place, image, { signal });
  const holder = info && (await attachedNode(ceph, place, info.id, { signal }));
  if (holder !== undefined && holder === node) return;
  throw new Error(
    `image ${image} is not healed on this node, ${node ?? 'whose name is not known'}: ${holder === undefined ? 'no node has its lock' : `node ${holder} has it`}`,
  );
}

async function block(ceph: Ceph, { address }: RbdWatcher, signal: AbortSignal, log: Logger): Promise<void> {
  try {
    await addToBlocklist(ceph, plainAddress(address), fencedSeconds, signal);
    log.info({ address }, 'fenced the client of a dead daemon');
  } catch (error) {
    if (!isCephError(error)) throw error;
    // Without that right the client is gone with its watch, 30 s after its death.
    log.warn(
      { err: error, address },
      'the client of a dead daemon cannot be fenced; waiting for its watch to end',
    );
  }
}

/** `10.1.0.2:0/4123` -> `10.1.0.2`; `[fd00::2]:0/4123` -> `fd00::2` */
const hostOf = ({ address }: RbdWatcher): string =>
  plainAddress(address)
    .replace(/:\d+\/\d+$/, '')
    .replace(/^\[(.*)\]$/, '$1');

const ownAddresses = (): Set<string> =>
  new Set(Object.values(networkInterfaces()).flatMap((list) => list?.map(({ address }) => address) ?? []));

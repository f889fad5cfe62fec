import { keyOf, type ObjectRef } from '../../api/resource.ts';
import { readStatus } from '../../ceph/mon.ts';
import type { Ceph, CephConnection, CephOpener } from '../../ceph/seam.ts';
import type { Clock } from '../../lib/clock.ts';
import type { Logger } from '../../lib/log.ts';

/** The operator’s connections, one to each cluster. */
export interface CephLinks {
  /**
   * The connection once the mons have answered over it, else undefined; then it keeps trying in the
   * background and calls `onConnected`, so that no reconcile waits for mons that are not there yet.
   */
  connected(cluster: ObjectRef, connection: CephConnection): Ceph | undefined;
  /** False too while nobody can say, for the connection was opened only just now. */
  isUnreached(cluster: ObjectRef): boolean;
  /** The connection that is there, for resources inside the cluster. */
  get(namespace: string): Ceph | undefined;
  drop(cluster: ObjectRef): Promise<void>;
  close(): Promise<void>;
}

interface Link {
  readonly ceph: Ceph;
  readonly key: string;
  readonly namespace: string;
  readonly stop: AbortController;
  readonly openedMs: number;
  ready: boolean;
  refused: boolean;
}

export interface CephLinksDeps {
  readonly open: CephOpener;
  readonly clock: Clock;
  readonly log: Logger;
  readonly onConnected: (cluster: ObjectRef) => void;
}

/** One try at a connection; longer than mons need to elect, shorter than anyone wants to wait. */
const tryLimitMs = 20_000;
const retryMs = 100;
/** Mons that are there answer well within this. */
const openingLimitMs = 5_000;

export function cephLinks({ open, clock, log, onConnected }: CephLinksDeps): CephLinks {
  const links = new Map<string, Link>();

  const keepTrying = async (ref: ObjectRef, link: Link) => {
    const { signal } = link.stop;
    while (!signal.aborted) {
      const own = AbortSignal.any([signal, AbortSignal.timeout(tryLimitMs)]);
      try {
        await readStatus(link.ceph, own);
        link.ready = true;
        onConnected(ref);
        return;
      } catch (error) {
        if (signal.aborted) return;
        link.refused = true;
        log.debug({ err: error, cluster: keyOf(ref) }, 'mons not reached yet');
        await clock.sleep(retryMs, signal).catch(() => undefined);
      }
    }
  };
  const drop = async (name: string) => {
    const link = links.get(name);
    links.delete(name);
    link?.stop.abort(new Error('the connection is no longer wanted'));
    await link?.ceph.close();
  };
  return {
    connected(ref, connection) {
      const name = keyOf(ref);
      // Where the mons moved or the key changed, the old connection is of no use.
      const key = `${connection.monHost} ${connection.user} ${connection.key}`;
      const existing = links.get(name);
      if (existing?.key === key) return existing.ready ? existing.ceph : undefined;
      if (existing)
        drop(name).catch((error: unknown) => log.warn({ err: error }, 'closing a connection failed'));
      const link: Link = {
        ceph: open(connection),
        key,
        namespace: ref.namespace ?? '',
        stop: new AbortController(),
        openedMs: clock.now(),
        ready: false,
        refused: false,
      };
      links.set(name, link);
      void keepTrying(ref, link);
      return undefined;
    },
    isUnreached(ref) {
      const link = links.get(keyOf(ref));
      if (!link || link.ready) return false;
      return link.refused || clock.now() - link.openedMs >= openingLimitMs;
    },
    get: (namespace) => [...links.values()].find((link) => link.namespace === namespace && link.ready)?.ceph,
    drop: async (ref) => await drop(keyOf(ref)),
    async close() {
      await Promise.all([...links.keys()].map(drop));
    },
  };
}

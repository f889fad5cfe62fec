import { z } from 'zod';
import { isCephError } from '../../ceph/errors.ts';
import type { CephCallOptions, Ceph, PoolPlace } from '../../ceph/seam.ts';
import { Code, RpcError } from '../../lib/grpc.ts';
import { mapLimit } from '../../lib/map-limit.ts';
import type { Clusters, Secrets } from '../clusters.ts';
import { detachImage } from './detach.ts';
import { attachedNode, lockForNode, type LockNode } from './node-lock.ts';

/**
 * Images that a person made, and a person's PV leads to: ceph-csi's static volumes. The PV's volumeAttributes say
 * where the image is (`staticVolume: "true"`, clusterID, pool, and imageName where it is not the volume handle);
 * nothing of them stands in the journal, and the image is never deleted here.
 */
export interface StaticImages {
  exists(image: StaticImage, secrets: Secrets, signal: AbortSignal): Promise<boolean>;
  /** Lets one node have it; NotFound without the image, FailedPrecondition where another node has it. */
  attach(image: StaticImage, node: LockNode, secrets: Secrets, signal: AbortSignal): Promise<void>;
  /** One that was never attached is no error. */
  detach(volumeId: string, node: string | undefined, secrets: Secrets, signal: AbortSignal): Promise<void>;
}

export interface StaticImage {
  readonly volumeId: string;
  readonly clusterId: string;
  readonly pool: string;
  readonly namespace?: string | undefined;
  readonly image: string;
}

/** Of a PV's volumeAttributes; undefined where they are no static volume's. Throws InvalidArgument. */
export function staticImageOf(
  volumeId: string,
  attributes: Readonly<Record<string, string>>,
): StaticImage | undefined {
  if (attributes['staticVolume'] !== 'true') return undefined;
  const need = (key: string): string => {
    const value = attributes[key];
    if (value) return value;
    throw new RpcError(Code.INVALID_ARGUMENT, `volumeAttributes of a static volume need "${key}"`);
  };
  return {
    volumeId,
    clusterId: need('clusterID'),
    pool: need('pool'),
    namespace: attributes['radosNamespace'] || undefined,
    image: attributes['imageName'] || volumeId,
  };
}

/**
 * ControllerUnpublishVolume is told an id and nothing else, so what an attached id means is noted beside the
 * image: an omap in its pool, by volume id, from before the lock is taken until after it is given back.
 */
const notesObject = 'holdfast.static';
const Note = z.object({ image: z.string(), namespace: z.string().optional() });
const poolsAtOnce = 8;
const maxPools = 1000;

export function staticImages(clusters: Clusters): StaticImages {
  const open = async ({ clusterId, pool, namespace }: StaticImage, secrets: Secrets) => {
    const { ceph, entry } = await clusters.open(clusterId, secrets);
    const notes: PoolPlace = { pool, namespace: entry.radosNamespace };
    return { ceph, notes, place: { pool, namespace: namespace ?? entry.radosNamespace } };
  };
  return {
    async exists(wanted, secrets, signal) {
      const { ceph, place } = await open(wanted, secrets);
      return (await infoOf(ceph, place, wanted.image, { signal })) !== undefined;
    },
    async attach(wanted, node, secrets, signal) {
      const { volumeId, image, namespace } = wanted;
      const { ceph, place, notes } = await open(wanted, secrets);
      const found = await infoOf(ceph, place, image, { signal });
      if (!found)
        throw new RpcError(
          Code.NOT_FOUND,
          `there is no image ${JSON.stringify(image)} in pool ${JSON.stringify(place.pool)}, which the static volume ${volumeId} names`,
        );
      const note = JSON.stringify({ image, namespace } satisfies z.infer<typeof Note>);
      await ceph.objects.omapSet(notes, notesObject, new Map([[volumeId, note]]), { signal });
      await lockForNode(ceph, place, { imageId: found.id, handle: volumeId, node }, { signal });
    },
    async detach(volumeId, node, secrets, signal) {
      const options = { signal };
      for (const { ceph, notes, note } of await notesOf(clusters, volumeId, secrets, options)) {
        const { image, namespace } = Note.parse(JSON.parse(note));
        const place: PoolPlace = { pool: notes.pool, namespace: namespace ?? notes.namespace };
        const found = await infoOf(ceph, place, image, options);
        if (found) await detachImage(ceph, place, { id: found.id, name: image }, node, options);
        // Another node's, whose attach won; calls for one volume come one at a time, from the leader.
        const holder = found && (await attachedNode(ceph, place, found.id, options));
        if (holder === undefined) await ceph.objects.omapRemove(notes, notesObject, [volumeId], options);
      }
    },
  };
}

interface FoundNote {
  readonly ceph: Ceph;
  readonly notes: PoolPlace;
  readonly note: string;
}

/** Where the id was attached: looked for in every pool of every cluster that these secrets open. */
async function notesOf(
  clusters: Clusters,
  volumeId: string,
  secrets: Secrets,
  options: CephCallOptions,
): Promise<FoundNote[]> {
  const found: FoundNote[] = [];
  for (const clusterId of await clusters.ids()) {
    const { ceph, entry } = await clusters.open(clusterId, secrets);
    try {
      const pools = await ceph.mon({ prefix: 'osd pool ls' }, z.array(z.string()).max(maxPools), options);
      await mapLimit(
        pools.filter((pool) => !pool.startsWith('.')),
        poolsAtOnce,
        async (pool) => {
          const notes: PoolPlace = { pool, namespace: entry.radosNamespace };
          const note = await unlessDenied(
            ceph.objects.omapGet(notes, notesObject, [volumeId], options).then((all) => all.get(volumeId)),
          );
          if (note !== undefined) found.push({ ceph, notes, note });
        },
      );
    } catch (error) {
      if (!isElsewhere(error)) throw error;
    }
  }
  return found;
}

/** A pool that was removed meanwhile, or a cluster or pool that these secrets do not open: nothing was attached there. */
const isElsewhere = (error: unknown) =>
  isCephError(error, 'ENOENT') || isCephError(error, 'EACCES') || isCephError(error, 'EPERM');

async function unlessDenied<T>(call: Promise<T | undefined>): Promise<T | undefined> {
  try {
    return await call;
  } catch (error) {
    if (isElsewhere(error)) return undefined;
    throw error;
  }
}

async function infoOf(ceph: Ceph, place: PoolPlace, image: string, options: CephCallOptions) {
  try {
    return await ceph.rbd.info(place, image, options);
  } catch (error) {
    if (isCephError(error, 'ENOENT')) return undefined; // No such pool.
    throw error;
  }
}

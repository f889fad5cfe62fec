import { create } from '@bufbuild/protobuf';
import type { PersistentVolume } from 'kubernetes-types/core/v1.js';
import { PersistentVolumes, VolumeAttachments } from '../../api/core.ts';
import { refOf, type Stored } from '../../api/resource.ts';
import { hasFinalizer, isDeleted, removeFinalizer } from '../../control/finalizer.ts';
import { done } from '../../control/outcome.ts';
import type { ControllerSpec } from '../../control/reconciler.ts';
import { DeleteVolumeRequestSchema } from '../../gen/csi/v1/csi_pb.js';
import { Code, RpcError } from '../../lib/grpc.ts';
import { attachmentOf, triggeredByAttachments } from './attachments-of-volumes.ts';
import { callController } from './controller-calls.ts';
import { readSecret } from './class-secrets.ts';
import { provisionedBy, provisionerFinalizer } from './provision.ts';
import { retryDelays } from './retry-delays.ts';
import type { SidecarDeps } from './sidecar-deps.ts';
import { deletionSecretOf } from './volume-secrets.ts';

/**
 * The other half of external-provisioner's work: a released PV with the policy Delete loses its volume, then
 * itself. A PV that was never released keeps its volume, whatever happens to the PV: data goes only where a
 * claim that had it was deleted.
 */
export function volumeDeleter(deps: SidecarDeps): ControllerSpec<PersistentVolume> {
  const { driver, client, caches, events, controller } = deps;
  const attachments = caches.cache(VolumeAttachments);
  const delays = retryDelays();

  const remove = async (volume: Stored<PersistentVolume>, signal: AbortSignal) => {
    const attached = attachmentOf(attachments, volume.metadata.name);
    if (attached)
      throw new RpcError(
        Code.FAILED_PRECONDITION,
        `persistentvolume ${volume.metadata.name} is still attached to node ${attached.spec?.nodeName}`,
      );
    const secrets = await readSecret(client, deletionSecretOf(volume), signal);
    const request = create(DeleteVolumeRequestSchema, {
      volumeId: volume.spec?.csi?.volumeHandle ?? '',
      secrets,
    });
    await callController('DeleteVolume', () => controller.deleteVolume(request, { signal }));
    await removeFinalizer(client, PersistentVolumes, volume, provisionerFinalizer, { signal });
    await client.delete(PersistentVolumes, refOf(volume), { signal, uid: volume.metadata.uid });
  };

  return {
    resource: PersistentVolumes,
    concurrency: 8,
    triggers: [triggeredByAttachments()],
    reconciler: {
      name: 'csi-volume-deleter',
      async reconcile(volume, { signal, log }) {
        if (volume.spec?.csi?.driver !== driver || volume.metadata.annotations?.[provisionedBy] !== driver)
          return done;
        const released = volume.status?.phase === 'Released' || volume.status?.phase === 'Failed';
        const deletes = volume.spec.persistentVolumeReclaimPolicy === 'Delete';
        const held = hasFinalizer(volume, provisionerFinalizer);
        // Nothing of ours is left to wait for: the volume is kept (Retain), or was never given up by a claim.
        if (held && (!deletes || (isDeleted(volume) && volume.status?.phase === 'Available'))) {
          await removeFinalizer(client, PersistentVolumes, volume, provisionerFinalizer, { signal });
          return done;
        }
        if (!released || !deletes || (isDeleted(volume) && !held)) return done;
        return await delays.attempt(
          volume.metadata.uid,
          signal,
          async () => {
            await remove(volume, signal);
            log.info({ handle: volume.spec?.csi?.volumeHandle }, 'volume deleted');
          },
          (reason) => events.tell(volume, 'Warning', 'VolumeFailedDelete', reason),
        );
      },
    },
  };
}

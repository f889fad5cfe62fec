import type { PersistentVolume } from 'kubernetes-types/core/v1.js';
import { PersistentVolumeClaims, PersistentVolumes } from '../../../api/core.ts';
import { refOf } from '../../../api/resource.ts';
import { done, type Outcome } from '../../../control/outcome.ts';
import type { ReconcileContext, Reconciler } from '../../../control/reconciler.ts';
import { writeStatus } from '../../../control/status.ts';
import { boundByController, type BinderDeps } from './claim.ts';
import type { Claim, Volume } from './match.ts';

const provisionedBy = 'pv.kubernetes.io/provisioned-by';

/** The volume's side of the binder: its phase, its release when the claim is gone, its reclaim policy. */
export function volumeBinder(deps: BinderDeps): Reconciler<PersistentVolume> {
  return {
    name: 'persistentvolume-phase',
    async reconcile(volume, context) {
      const ref = volume.spec?.claimRef;
      if (!ref?.uid) return await setPhase(deps, volume, 'Available', undefined, context);
      const claim = await liveClaim(deps, volume, context);
      if (!claim) return await release(deps, volume, context);
      const named = claim.spec?.volumeName;
      if (!named) return done; // The claim's side finishes the binding.
      if (named === volume.metadata.name) return await setPhase(deps, volume, 'Bound', undefined, context);
      return await giveUpClaim(deps, volume, context);
    },
  };
}

/** The claim that the volume belongs to. The cache may lag behind a claim just made, so absence is asked for. */
async function liveClaim(
  deps: BinderDeps,
  volume: Volume,
  context: ReconcileContext,
): Promise<Claim | undefined> {
  const ref = volume.spec?.claimRef;
  const name = { namespace: ref?.namespace, name: ref?.name ?? '' };
  const cached = deps.claims.get(name);
  if (cached?.metadata.uid === ref?.uid) return cached;
  const read = await deps.client.get(PersistentVolumeClaims, name, context);
  return read?.metadata.uid === ref?.uid ? read : undefined;
}

async function release(deps: BinderDeps, volume: Volume, context: ReconcileContext): Promise<Outcome> {
  const policy = volume.spec?.persistentVolumeReclaimPolicy ?? 'Retain';
  await setPhase(deps, volume, 'Released', undefined, context);
  // Delete is the work of the driver that made it; it watches for Released itself.
  if (policy === 'Delete' && !volume.metadata.annotations?.[provisionedBy] && !volume.spec?.csi) {
    const message = `error getting deleter volume plugin for volume "${volume.metadata.name}": no deletable volume plugin matched`;
    return await fail(deps, volume, 'VolumeFailedDelete', message, context);
  }
  if (policy === 'Recycle') {
    const message = 'the Recycle policy is no longer supported: remove the data and spec.claimRef by hand';
    return await fail(deps, volume, 'VolumeFailedRecycle', message, context);
  }
  return done;
}

/** The claim bound to another volume first: this one is free again, where it was we who set it aside. */
async function giveUpClaim(deps: BinderDeps, volume: Volume, context: ReconcileContext): Promise<Outcome> {
  const isOurs = volume.metadata.annotations?.[boundByController] !== undefined;
  if (
    volume.metadata.annotations?.[provisionedBy] &&
    volume.spec?.persistentVolumeReclaimPolicy === 'Delete'
  ) {
    return await setPhase(deps, volume, 'Released', undefined, context);
  }
  const claimRef = isOurs ? null : { uid: null, resourceVersion: null };
  const body = {
    metadata: {
      resourceVersion: volume.metadata.resourceVersion,
      annotations: { [boundByController]: null },
    },
    spec: { claimRef },
  };
  deps.volumes.remember(
    await deps.client.patch(PersistentVolumes, refOf(volume), { type: 'merge', body }, context),
  );
  return done;
}

async function fail(
  deps: BinderDeps,
  volume: Volume,
  reason: string,
  message: string,
  context: ReconcileContext,
): Promise<Outcome> {
  if (volume.status?.phase !== 'Failed') deps.events.event(volume, 'Warning', reason, message);
  return await setPhase(deps, volume, 'Failed', message, context);
}

async function setPhase(
  deps: BinderDeps,
  volume: Volume,
  phase: string,
  message: string | undefined,
  context: ReconcileContext,
): Promise<Outcome> {
  const written = await writeStatus(
    deps.client,
    PersistentVolumes,
    volume,
    () => ({ phase, ...(message === undefined ? {} : { message }) }),
    context,
  );
  if (written) deps.volumes.remember(written);
  return done;
}

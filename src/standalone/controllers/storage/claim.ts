import type { PersistentVolume, PersistentVolumeClaim } from 'kubernetes-types/core/v1.js';
import type { StorageClass } from 'kubernetes-types/storage/v1.js';
import { PersistentVolumeClaims, PersistentVolumes } from '../../../api/core.ts';
import { refOf, type Stored } from '../../../api/resource.ts';
import { done, type Outcome } from '../../../control/outcome.ts';
import type { ReconcileContext, Reconciler } from '../../../control/reconciler.ts';
import { writeStatus } from '../../../control/status.ts';
import type { KubeClient } from '../../../kube/client.ts';
import type { EventRecorder } from '../../../kube/events.ts';
import type { RunningCache } from '../../../kube/watch-cache.ts';
import {
  classOfClaim,
  findVolume,
  isClaimedBy,
  mismatch,
  volumesOpenTo,
  type Claim,
  type Volume,
} from './match.ts';
import { defaultClass } from './storage-class.ts';

export const bindCompleted = 'pv.kubernetes.io/bind-completed';
export const boundByController = 'pv.kubernetes.io/bound-by-controller';
const selectedNode = 'volume.kubernetes.io/selected-node';
const provisionerKeys = [
  'volume.kubernetes.io/storage-provisioner',
  'volume.beta.kubernetes.io/storage-provisioner',
];
const noProvisioner = 'kubernetes.io/no-provisioner';

export interface BinderDeps {
  readonly client: KubeClient;
  readonly events: EventRecorder;
  readonly claims: RunningCache<PersistentVolumeClaim>;
  /** With `volumeIndexes`. */
  readonly volumes: RunningCache<PersistentVolume>;
  readonly classes: RunningCache<StorageClass>;
}

/**
 * Kubernetes' persistent volume controller, the claim's side: finds a volume or asks for one to be
 * provisioned, and binds the two in the order that survives a crash at any point: the volume's claimRef,
 * the volume's phase, the claim's volumeName, the claim's status.
 */
export function claimBinder(deps: BinderDeps): Reconciler<PersistentVolumeClaim> {
  return {
    name: 'persistentvolume-binder',
    async reconcile(claim, context) {
      if (claim.metadata.deletionTimestamp !== undefined && !claim.spec?.volumeName) return done;
      if (claim.spec?.volumeName) return await followVolume(deps, claim, context);
      return await findOrProvision(deps, claim, context);
    },
  };
}

/** The claim names its volume: bound already, half-way bound, or set by the user. */
async function followVolume(deps: BinderDeps, claim: Claim, context: ReconcileContext): Promise<Outcome> {
  const name = claim.spec?.volumeName ?? '';
  const completed = claim.metadata.annotations?.[bindCompleted] !== undefined;
  const refuse = async (reason: string, message: string) => {
    deps.events.event(claim, 'Warning', reason, message);
    return await setPending(deps, claim, context);
  };
  const volume = deps.volumes.get({ name }) ?? (await deps.client.get(PersistentVolumes, { name }, context));
  if (!volume) {
    if (!completed) return await setPending(deps, claim, context);
    const lost = 'Bound claim has lost its PersistentVolume. Any data on the volume is lost!';
    return await setLost(deps, claim, 'ClaimLost', lost, context);
  }
  if (isClaimedBy(volume, claim)) {
    const wrong = completed ? undefined : mismatch(volume, claim);
    if (wrong === undefined) return await bind(deps, claim, volume, context);
    return await refuse('VolumeMismatch', `Cannot bind to requested volume "${name}": ${wrong}`);
  }
  if (completed) {
    const misbound = 'Two claims are bound to the same volume, this one is bound incorrectly';
    return await setLost(deps, claim, 'ClaimMisbound', misbound, context);
  }
  if (volume.spec?.claimRef) {
    const other = `${volume.spec.claimRef.namespace}/${volume.spec.claimRef.name}`;
    return await refuse('FailedBinding', `volume "${name}" already bound to a different claim: ${other}`);
  }
  const wrong = mismatch(volume, claim);
  if (wrong === undefined) return await bind(deps, claim, volume, context);
  return await refuse('VolumeMismatch', `Cannot bind to requested volume "${name}": ${wrong}`);
}

async function findOrProvision(deps: BinderDeps, claim: Claim, context: ReconcileContext): Promise<Outcome> {
  const { client, classes, volumes } = deps;
  const className = classOfClaim(claim);
  if (className === undefined) {
    const chosen = defaultClass(classes.list());
    if (chosen) {
      // Assigned afterwards, as since Kubernetes 1.26: the claim came before there was a default.
      const body = {
        metadata: { resourceVersion: claim.metadata.resourceVersion },
        spec: { storageClassName: chosen.metadata.name },
      };
      deps.claims.remember(
        await client.patch(PersistentVolumeClaims, refOf(claim), { type: 'merge', body }, context),
      );
      return done;
    }
  }
  const storageClass = className ? classes.get({ name: className }) : undefined;
  const waits =
    storageClass?.volumeBindingMode === 'WaitForFirstConsumer' && !claim.metadata.annotations?.[selectedNode];
  const volume = findVolume(volumesOpenTo(volumes, claim), claim, waits);
  if (volume) return await bind(deps, claim, volume, context);
  if (waits) {
    deps.events.event(
      claim,
      'Normal',
      'WaitForFirstConsumer',
      'waiting for first consumer to be created before binding',
    );
    return await setPending(deps, claim, context);
  }
  if (!className) {
    const none = 'no persistent volumes available for this claim and no storage class is set';
    deps.events.event(claim, 'Normal', 'FailedBinding', none);
    return await setPending(deps, claim, context);
  }
  return await askProvisioner(deps, claim, className, storageClass, context);
}

async function askProvisioner(
  deps: BinderDeps,
  claim: Claim,
  className: string,
  storageClass: Stored<StorageClass> | undefined,
  context: ReconcileContext,
): Promise<Outcome> {
  if (!storageClass) {
    const missing = `storageclass.storage.k8s.io "${className}" not found: create it, or make the claim anew with one of those that kubectl get storageclass lists`;
    deps.events.event(claim, 'Warning', 'ProvisioningFailed', missing);
    return await setPending(deps, claim, context);
  }
  const { provisioner } = storageClass;
  if (provisioner === noProvisioner) {
    const none = 'no persistent volumes available for this claim and the class does not provision any';
    deps.events.event(claim, 'Normal', 'FailedBinding', none);
    return await setPending(deps, claim, context);
  }
  const annotations = claim.metadata.annotations ?? {};
  if (provisionerKeys.some((key) => annotations[key] !== provisioner)) {
    const wanted = Object.fromEntries(provisionerKeys.map((key) => [key, provisioner]));
    const body = { metadata: { resourceVersion: claim.metadata.resourceVersion, annotations: wanted } };
    deps.claims.remember(
      await deps.client.patch(PersistentVolumeClaims, refOf(claim), { type: 'merge', body }, context),
    );
  }
  deps.events.wait(
    claim,
    'ExternalProvisioning',
    `Waiting for a volume to be created either by the external provisioner '${provisioner}' or manually by the system administrator. If volume creation is delayed, please verify that the provisioner is running and correctly registered.`,
    () => {
      const current = deps.claims.get(refOf(claim));
      return current?.metadata.uid === claim.metadata.uid && !current.spec?.volumeName;
    },
  );
  return await setPending(deps, claim, context);
}

/** Each of the four writes is skipped where it already stands. */
async function bind(
  deps: BinderDeps,
  claim: Claim,
  found: Volume,
  context: ReconcileContext,
): Promise<Outcome> {
  const { client } = deps;
  const volume = await claimVolume(deps, claim, found, context);
  if (volume.status?.phase !== 'Bound') {
    const written = await writeStatus(client, PersistentVolumes, volume, () => ({ phase: 'Bound' }), context);
    if (written) deps.volumes.remember(written);
  }
  let bound: Claim = claim;
  const annotations = claim.metadata.annotations ?? {};
  if (claim.spec?.volumeName !== volume.metadata.name || annotations[bindCompleted] === undefined) {
    const marks = {
      [bindCompleted]: 'yes',
      ...(claim.spec?.volumeName ? {} : { [boundByController]: 'yes' }),
    };
    const body = {
      metadata: { resourceVersion: claim.metadata.resourceVersion, annotations: marks },
      spec: { volumeName: volume.metadata.name },
    };
    bound = await client.patch(PersistentVolumeClaims, refOf(claim), { type: 'merge', body }, context);
    deps.claims.remember(bound);
  }
  const written = await writeStatus(
    client,
    PersistentVolumeClaims,
    bound,
    (current) => ({
      ...current.status,
      phase: 'Bound',
      accessModes: volume.spec?.accessModes ?? [],
      // Once bound, only a finished expansion raises it: the resizer and the node write that.
      capacity:
        current.status?.phase === 'Bound' && current.status.capacity
          ? current.status.capacity
          : (volume.spec?.capacity ?? {}),
    }),
    context,
  );
  if (written) deps.claims.remember(written);
  return done;
}

async function claimVolume(
  deps: BinderDeps,
  claim: Claim,
  volume: Volume,
  context: ReconcileContext,
): Promise<Volume> {
  if (volume.spec?.claimRef?.uid === claim.metadata.uid) return volume;
  const setAside = volume.spec?.claimRef !== undefined;
  const body = {
    metadata: {
      resourceVersion: volume.metadata.resourceVersion,
      ...(setAside ? {} : { annotations: { [boundByController]: 'yes' } }),
    },
    spec: {
      claimRef: {
        apiVersion: 'v1',
        kind: 'PersistentVolumeClaim',
        namespace: claim.metadata.namespace,
        name: claim.metadata.name,
        uid: claim.metadata.uid,
        resourceVersion: claim.metadata.resourceVersion,
      },
    },
  };
  const claimed = await deps.client.patch(PersistentVolumes, refOf(volume), { type: 'merge', body }, context);
  deps.volumes.remember(claimed);
  return claimed;
}

async function setPending(deps: BinderDeps, claim: Claim, context: ReconcileContext): Promise<Outcome> {
  const status = (current: Claim) => ({ ...current.status, phase: 'Pending' });
  await writeStatus(deps.client, PersistentVolumeClaims, claim, status, context);
  return done;
}

async function setLost(
  deps: BinderDeps,
  claim: Claim,
  reason: string,
  message: string,
  context: ReconcileContext,
): Promise<Outcome> {
  if (claim.status?.phase !== 'Lost') deps.events.event(claim, 'Warning', reason, message);
  await writeStatus(
    deps.client,
    PersistentVolumeClaims,
    claim,
    (current) => ({ ...current.status, phase: 'Lost' }),
    context,
  );
  return done;
}

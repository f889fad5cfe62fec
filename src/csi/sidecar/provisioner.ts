import type { PersistentVolume, PersistentVolumeClaim, Secret } from 'kubernetes-types/core/v1.js';
import type { StorageClass } from 'kubernetes-types/storage/v1.js';
import { CephBlockPools, poolName, type CephBlockPool } from '../../api/ceph/ceph-block-pool.ts';
import { PersistentVolumeClaims, PersistentVolumes, Secrets, StorageClasses } from '../../api/core.ts';
import { keyOf, refOf, type ObjectRef, type Stored } from '../../api/resource.ts';
import { isDeleted } from '../../control/finalizer.ts';
import { done, type Outcome } from '../../control/outcome.ts';
import type { ControllerSpec, ReconcileContext, Trigger } from '../../control/reconciler.ts';
import { triggeredBy } from '../../control/trigger.ts';
import type { Cache } from '../../kube/cache.ts';
import { isAlreadyExists } from '../../kube/errors.ts';
import type { RunningCache } from '../../kube/watch-cache.ts';
import { parametersWithoutEffect } from '../parameters.ts';
import { readSecret } from './class-secrets.ts';
import { callController } from './controller-calls.ts';
import type { EventVoice } from './event-voice.ts';
import {
  classNameOf,
  createVolumeRequest,
  persistentVolumeOf,
  provisionerSecretOf,
  volumeNameOf,
  type Provisioning,
} from './provision.ts';
import { retryDelays, type RetryDelays } from './retry-delays.ts';
import type { SidecarDeps } from './sidecar-deps.ts';

const provisionerAnnotations = [
  'volume.kubernetes.io/storage-provisioner',
  'volume.beta.kubernetes.io/storage-provisioner',
];
const selectedNode = 'volume.kubernetes.io/selected-node';

/** What the functions below share. */
interface Provisioner extends SidecarDeps {
  readonly classes: Cache<StorageClass>;
  readonly claims: Cache<PersistentVolumeClaim>;
  readonly volumes: RunningCache<PersistentVolume>;
  readonly secrets: Cache<Secret>;
  readonly delays: RetryDelays;
  /** Claims whose last try failed: what appears may be what they wait for. */
  readonly waiting: Map<string, ObjectRef>;
}

/** external-provisioner's work: a claim of one of our classes gets a volume and the PV that leads to it. */
export function provisioner(deps: SidecarDeps): ControllerSpec<PersistentVolumeClaim> {
  const { caches, secretNamespace } = deps;
  const shared: Provisioner = {
    ...deps,
    classes: caches.cache(StorageClasses),
    claims: caches.cache(PersistentVolumeClaims),
    volumes: caches.cache(PersistentVolumes),
    secrets: caches.cache(Secrets, { namespace: secretNamespace }),
    delays: retryDelays(),
    waiting: new Map(),
  };
  return {
    resource: PersistentVolumeClaims,
    concurrency: 16, // Enough to keep a cluster busy; the budget for many claims at once is measured at 8 in flight.
    triggers: provisionerTriggers(shared),
    reconciler: {
      name: 'csi-provisioner',
      reconcile: (claim, context) => reconcile(shared, claim, context),
      async gone(ref) {
        shared.waiting.delete(keyOf(ref));
        return await Promise.resolve(done);
      },
    },
  };
}

/** A class, a Secret or a pool that appears lets the claims go on that wait for it. */
function provisionerTriggers(shared: Provisioner): Trigger<never>[] {
  const { claims, waiting, secretNamespace, poolNamespace } = shared;
  const triggers = [
    triggeredBy<StorageClass>(StorageClasses, (changed) =>
      claims
        .list()
        .filter((claim) => isUnbound(claim) && classNameOf(claim) === changed.metadata.name)
        .map(refOf),
    ),
    triggeredBy<Secret>(Secrets, () => [...waiting.values()], { namespace: secretNamespace }),
  ];
  if (poolNamespace)
    triggers.push(
      triggeredBy<CephBlockPool>(
        CephBlockPools,
        (pool) => [...waiting.values()].filter((ref) => wantsPool(classOf(shared, claims.get(ref)), pool)),
        { namespace: poolNamespace },
      ),
    );
  return triggers;
}

const classOf = ({ classes }: Provisioner, claim: PersistentVolumeClaim | undefined) =>
  claim && classes.get({ name: classNameOf(claim) ?? '' });

async function reconcile(
  shared: Provisioner,
  claim: Stored<PersistentVolumeClaim>,
  context: ReconcileContext,
): Promise<Outcome> {
  const { driver, delays, waiting, events } = shared;
  const { uid } = claim.metadata;
  const key = keyOf(refOf(claim));
  if (!isUnbound(claim) || isDeleted(claim) || !isForUs(claim, driver)) {
    waiting.delete(key);
    delays.reset(uid);
    return done;
  }
  const storageClass = classOf(shared, claim);
  if (!storageClass || storageClass.provisioner !== driver) return done; // The class's trigger brings it back.
  const waitsForPod = storageClass.volumeBindingMode === 'WaitForFirstConsumer';
  // The scheduler writes the annotation, and that is a change of the claim.
  if (waitsForPod && !claim.metadata.annotations?.[selectedNode]) return done;
  return await delays.attempt(
    uid,
    context.signal,
    async () => {
      await tellingWhile(events, claim, provision(shared, { claim, storageClass }, context));
      waiting.delete(key);
    },
    (reason, afterMs) => {
      const message = `failed to provision volume with StorageClass "${storageClass.metadata.name}": ${reason}`;
      events.tell(claim, 'Warning', 'ProvisioningFailed', message);
      waiting.set(key, refOf(claim));
      context.log.info({ reason, afterMs }, 'claim waits');
    },
  );
}

/** Says that a volume is being made, where that lasts. */
async function tellingWhile(
  events: EventVoice,
  claim: Stored<PersistentVolumeClaim>,
  making: Promise<void>,
): Promise<void> {
  let isUnderWay = true;
  const text = `External provisioner is provisioning volume for claim "${keyOf(refOf(claim))}"`;
  events.wait(claim, 'Provisioning', text, () => isUnderWay);
  await making.finally(() => (isUnderWay = false));
}

async function provision(
  { driver, client, controller, events, now, volumes, secrets }: Provisioner,
  provisioning: Provisioning,
  { signal, log }: ReconcileContext,
): Promise<void> {
  const { claim } = provisioning;
  const name = volumeNameOf(claim);
  // Made by a turn whose PV the claim is not yet bound to. One that is not known yet is found by its name below.
  if (volumes.get({ name })) return;
  tellIdleParameters(events, provisioning);
  const values = await readSecret(client, provisionerSecretOf(provisioning), signal, secrets);
  const request = createVolumeRequest(provisioning, values);
  const { volume } = await callController('CreateVolume', () => controller.createVolume(request, { signal }));
  if (!volume?.volumeId) throw new Error('CreateVolume answered no volume');
  const identity = `${now()}-holdfast-${driver}`;
  try {
    const made = persistentVolumeOf(driver, provisioning, volume, identity);
    volumes.remember(await client.create(PersistentVolumes, made, { signal }));
  } catch (error) {
    // Another replica, or our own earlier try whose answer was lost, wrote the same.
    if (!isAlreadyExists(error)) throw error;
  }
  log.info({ volume: name, handle: volume.volumeId }, 'volume provisioned');
  events.tell(claim, 'Normal', 'ProvisioningSucceeded', `Successfully provisioned volume ${name}`);
}

/** Whether a class puts volumes into a pool that is ready for them. */
function wantsPool(storageClass: StorageClass | undefined, pool: Stored<CephBlockPool>): boolean {
  const name = poolName(pool);
  const { parameters } = storageClass ?? {};
  return pool.status?.phase === 'Ready' && [parameters?.['pool'], parameters?.['dataPool']].includes(name);
}

function tellIdleParameters(events: EventVoice, { claim, storageClass }: Provisioning): void {
  const idle = parametersWithoutEffect(storageClass.parameters ?? {});
  if (idle.length === 0) return;
  const message = `StorageClass "${storageClass.metadata.name}": ${idle.join('; ')}`;
  events.tell(claim, 'Normal', 'ParameterWithoutEffect', message);
}

const isUnbound = (claim: Stored<PersistentVolumeClaim>): boolean =>
  !claim.spec?.volumeName && (claim.status?.phase ?? 'Pending') === 'Pending';

const isForUs = (claim: Stored<PersistentVolumeClaim>, driver: string): boolean =>
  provisionerAnnotations.some((key) => claim.metadata.annotations?.[key] === driver);

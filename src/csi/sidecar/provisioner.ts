import type { PersistentVolumeClaim, Secret } from 'kubernetes-types/core/v1.js';
import type { StorageClass } from 'kubernetes-types/storage/v1.js';
import { CephBlockPools, poolName, type CephBlockPool } from '../../api/ceph/ceph-block-pool.ts';
import { PersistentVolumeClaims, PersistentVolumes, Secrets, StorageClasses } from '../../api/core.ts';
import { keyOf, refOf, type ObjectRef, type Stored } from '../../api/resource.ts';
import { isDeleted } from '../../control/finalizer.ts';
import { done, requeueAfter } from '../../control/outcome.ts';
import type { ControllerSpec, ReconcileContext, Trigger } from '../../control/reconciler.ts';
import { triggeredBy } from '../../control/trigger.ts';
import type { CacheSet } from '../../kube/cache-set.ts';
import type { KubeClient } from '../../kube/client.ts';
import { isAlreadyExists } from '../../kube/errors.ts';
import { parametersWithoutEffect } from '../parameters.ts';
import { readSecret } from './class-secrets.ts';
import { callController, describeFailure, type ControllerCalls } from './controller-calls.ts';
import type { EventVoice } from './event-voice.ts';
import {
  classNameOf,
  createVolumeRequest,
  persistentVolumeOf,
  provisionerSecretOf,
  volumeNameOf,
  type Provisioning,
} from './provision.ts';
import { retryDelays } from './retry-delays.ts';

export interface SidecarDeps {
  readonly driver: string;
  readonly controller: ControllerCalls;
  readonly client: KubeClient;
  readonly caches: CacheSet;
  readonly events: EventVoice;
  readonly now: () => number;
  readonly random?: (() => number) | undefined;
  /** Secrets of this namespace are watched, so that a claim goes on the moment its missing one appears. */
  readonly secretNamespace?: string | undefined;
  /** CephBlockPools of this namespace are watched, so that a claim goes on the moment its pool is there. */
  readonly poolNamespace?: string | undefined;
}

const provisionerAnnotations = [
  'volume.kubernetes.io/storage-provisioner',
  'volume.beta.kubernetes.io/storage-provisioner',
];
const selectedNode = 'volume.kubernetes.io/selected-node';

/** external-provisioner's work: a claim of one of our classes gets a volume and the PV that leads to it. */
export function provisioner(deps: SidecarDeps): ControllerSpec<PersistentVolumeClaim> {
  const { driver, client, caches, events } = deps;
  const classes = caches.cache(StorageClasses);
  const claims = caches.cache(PersistentVolumeClaims);
  const volumes = caches.cache(PersistentVolumes);
  const secrets = deps.secretNamespace
    ? caches.cache(Secrets, { namespace: deps.secretNamespace })
    : undefined;
  const delays = retryDelays(deps.random);
  /** Claims whose last try failed: what appears may be what they wait for. */
  const waiting = new Map<string, ObjectRef>();
  const settle = (claim: Stored<PersistentVolumeClaim>) => {
    waiting.delete(keyOf(refOf(claim)));
    delays.succeeded(claim.metadata.uid);
    return done;
  };

  const classOf = (claim?: PersistentVolumeClaim) => claim && classes.get({ name: classNameOf(claim) ?? '' });
  const waitingFor = (pool: Stored<CephBlockPool>) =>
    [...waiting.values()].filter((ref) => wantsPool(classOf(claims.get(ref)), pool));

  return {
    resource: PersistentVolumeClaims,
    concurrency: 16, // Enough to keep a cluster busy; the budget for many claims at once is measured at 8 in flight.
    triggers: [
      triggeredBy<StorageClass>(StorageClasses, (changed) =>
        claims
          .list()
          .filter((claim) => isUnbound(claim) && classNameOf(claim) === changed.metadata.name)
          .map(refOf),
      ),
      ...(deps.secretNamespace
        ? [triggeredBy<Secret>(Secrets, () => [...waiting.values()], { namespace: deps.secretNamespace })]
        : []),
      ...poolTrigger(deps.poolNamespace, waitingFor),
    ],
    reconciler: {
      name: 'csi-provisioner',
      async reconcile(claim, context) {
        if (!isUnbound(claim) || isDeleted(claim) || !isForUs(claim, driver)) return settle(claim);
        const storageClass = classOf(claim);
        if (!storageClass || storageClass.provisioner !== driver) return done; // The class's trigger brings it back.
        if (
          storageClass.volumeBindingMode === 'WaitForFirstConsumer' &&
          !claim.metadata.annotations?.[selectedNode]
        )
          return done; // The scheduler writes the annotation, and that is a change of the claim.
        try {
          await provision(deps, { claim, storageClass }, context);
          return settle(claim);
        } catch (error) {
          context.signal.throwIfAborted();
          const reason = describeFailure(error);
          const message = `failed to provision volume with StorageClass "${storageClass.metadata.name}": ${reason}`;
          events.tell(claim, 'Warning', 'ProvisioningFailed', message);
          waiting.set(keyOf(refOf(claim)), refOf(claim));
          const afterMs = delays.failed(claim.metadata.uid);
          context.log.info({ reason, afterMs }, 'claim waits');
          return requeueAfter(afterMs);
        }
      },
      async gone(ref) {
        waiting.delete(keyOf(ref));
        return await Promise.resolve(done);
      },
    },
  };

  async function provision(
    { controller }: SidecarDeps,
    provisioning: Provisioning,
    { signal, log }: ReconcileContext,
  ): Promise<void> {
    const { claim } = provisioning;
    const name = volumeNameOf(claim);
    // Made by a turn whose PV the claim is not yet bound to. One that is not known yet is found by its name below.
    if (volumes.get({ name })) return;
    const text = `External provisioner is provisioning volume for claim "${keyOf(refOf(claim))}"`;
    events.tell(claim, 'Normal', 'Provisioning', text);
    tellIdleParameters(events, provisioning);
    const values = await readSecret(client, provisionerSecretOf(provisioning), signal, secrets);
    const request = createVolumeRequest(provisioning, values);
    const { createVolume } = controller;
    const { volume } = await callController(
      'CreateVolume',
      createVolume && (() => createVolume(request, { signal })),
    );
    if (!volume?.volumeId) throw new Error('CreateVolume answered no volume');
    const identity = `${deps.now()}-holdfast-${driver}`;
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
}

const poolTrigger = (
  namespace: string | undefined,
  map: (pool: Stored<CephBlockPool>) => readonly ObjectRef[],
): Trigger<never>[] => (namespace ? [triggeredBy<CephBlockPool>(CephBlockPools, map, { namespace })] : []);

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

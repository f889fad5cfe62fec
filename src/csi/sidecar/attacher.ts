import { create } from '@bufbuild/protobuf';
import type { PersistentVolume } from 'kubernetes-types/core/v1.js';
import type { CSINode, VolumeAttachment, VolumeAttachmentStatus } from 'kubernetes-types/storage/v1.js';
import { CSINodes, PersistentVolumes, VolumeAttachments } from '../../api/core.ts';
import { refOf, type Stored } from '../../api/resource.ts';
import { addFinalizer, hasFinalizer, isDeleted, removeFinalizer } from '../../control/finalizer.ts';
import { done, type Outcome } from '../../control/outcome.ts';
import type { ControllerSpec, ReconcileContext, Trigger } from '../../control/reconciler.ts';
import { triggeredBy } from '../../control/trigger.ts';
import {
  ControllerPublishVolumeRequestSchema,
  ControllerUnpublishVolumeRequestSchema,
  type VolumeCapability,
} from '../../gen/csi/v1/csi_pb.js';
import type { Cache } from '../../kube/cache.ts';
import { secondTime } from '../../kube/micro-time.ts';
import { patchStatus } from '../../kube/patch.ts';
import type { RunningCache } from '../../kube/watch-cache.ts';
import { Code, RpcError } from '../../lib/grpc.ts';
import { attachedVolumeName, attachmentOf, triggeredByAttachments } from './attachments-of-volumes.ts';
import { readSecret } from './class-secrets.ts';
import { callController } from './controller-calls.ts';
import { retryDelays, type RetryDelays } from './retry-delays.ts';
import type { SidecarDeps } from './sidecar-deps.ts';
import { volumeCapability } from './volume-capability.ts';
import { controllerSecretOf } from './volume-secrets.ts';

/** On VolumeAttachments and PVs, as upstream's attacher names it: `external-attacher/rook-ceph-rbd-csi-ceph-com`. */
const attacherFinalizer = (driver: string): string => `external-attacher/${driver.replaceAll('.', '-')}`;

/** Where upstream's attacher notes the driver's node id, so that a detach works after the CSINode is gone. */
const nodeIdAnnotation = 'csi.alpha.kubernetes.io/node-id';

/**
 * A volume whose client was killed is given back by nobody's message: Ceph drops the client's watch half a minute
 * later. A pod waits for that elsewhere, so it is looked at often.
 */
const maxDelayMs = 5_000;

/** What the functions below share. */
interface Attacher extends SidecarDeps {
  readonly finalizer: string;
  readonly nodes: Cache<CSINode>;
  readonly attachments: RunningCache<VolumeAttachment>;
  readonly volumes: Cache<PersistentVolume>;
  readonly delays: RetryDelays;
}

/** external-attacher's work: ControllerPublish for each VolumeAttachment of ours, ControllerUnpublish before it goes. */
export function attacher(deps: SidecarDeps): ControllerSpec<VolumeAttachment> {
  const { driver, caches } = deps;
  const shared: Attacher = {
    ...deps,
    finalizer: attacherFinalizer(driver),
    nodes: caches.cache(CSINodes),
    attachments: caches.cache(VolumeAttachments),
    volumes: caches.cache(PersistentVolumes),
    delays: retryDelays(maxDelayMs),
  };
  return {
    resource: VolumeAttachments,
    concurrency: 8,
    triggers: attachmentTriggers(shared.attachments),
    reconciler: {
      name: 'csi-attacher',
      async reconcile(attachment, context) {
        if (attachment.spec?.attacher !== driver) return done;
        if (isDeleted(attachment)) {
          if (!hasFinalizer(attachment, shared.finalizer)) return done;
          return await settle(shared, attachment, { step: detach, errorField: 'detachError' }, context);
        }
        if (attachment.status?.attached) return done;
        return await settle(shared, attachment, { step: attach, errorField: 'attachError' }, context);
      },
    },
  };
}

interface Direction {
  readonly step: (shared: Attacher, one: Stored<VolumeAttachment>, signal: AbortSignal) => Promise<void>;
  /** Where a failure stands, in the status: attach/detach and users look for it there. */
  readonly errorField: 'attachError' | 'detachError';
}

async function settle(
  shared: Attacher,
  attachment: Stored<VolumeAttachment>,
  { step, errorField }: Direction,
  { signal, log }: ReconcileContext,
): Promise<Outcome> {
  const { spec, status } = attachment;
  return await shared.delays.attempt(
    `${errorField}/${attachment.metadata.uid}`,
    signal,
    async () => {
      await step(shared, attachment, signal);
      const volume = attachedVolumeName(attachment);
      log.info({ volume, node: spec?.nodeName, field: errorField }, 'attachment settled');
    },
    async (message) => {
      if (status?.[errorField]?.message === message) return;
      const error = { message, time: secondTime(shared.now()) };
      await writeStatus(shared, attachment, { attached: false, ...status, [errorField]: error }, signal);
    },
  );
}

async function attach(
  shared: Attacher,
  attachment: Stored<VolumeAttachment>,
  signal: AbortSignal,
): Promise<void> {
  const { driver, client, controller, finalizer } = shared;
  const volume = await volumeOf(shared, attachment, signal);
  const source = volume?.spec?.csi;
  if (!volume || !source)
    throw new RpcError(Code.NOT_FOUND, 'its PersistentVolume does not exist, or is none of CSI');
  const nodeId = nodeIdOf(shared, attachment);
  if (!nodeId)
    throw new RpcError(
      Code.FAILED_PRECONDITION,
      `driver ${driver} is not registered on node ${attachment.spec?.nodeName} yet: its csi-rbdplugin pod has to run there`,
    );
  const annotations = { [nodeIdAnnotation]: nodeId };
  // All before the publish, and none of them before another: a detach without a publish finds nothing to undo.
  const [heldVolume, held, secrets] = await Promise.all([
    holdVolume(shared, volume, signal),
    addFinalizer(client, VolumeAttachments, attachment, finalizer, { signal, annotations }),
    readSecret(client, controllerSecretOf(volume, 'publish'), signal),
  ]);
  if (!heldVolume)
    throw new RpcError(Code.FAILED_PRECONDITION, `persistentvolume ${volume.metadata.name} is being deleted`);
  if (!held) return; // Deleted meanwhile, with nothing done.
  const request = create(ControllerPublishVolumeRequestSchema, {
    volumeId: source.volumeHandle,
    nodeId,
    readonly: source.readOnly ?? false,
    secrets,
    volumeContext: { ...source.volumeAttributes },
    volumeCapability: capabilityOf(volume),
  });
  const answer = await callController('ControllerPublishVolume', () =>
    controller.controllerPublishVolume(request, { signal }),
  );
  const attachmentMetadata = answer.publishContext ?? {};
  await writeStatus(shared, attachment, { attached: true, attachmentMetadata }, signal);
}

async function detach(
  shared: Attacher,
  attachment: Stored<VolumeAttachment>,
  signal: AbortSignal,
): Promise<void> {
  const { client, controller, finalizer } = shared;
  const volume = await volumeOf(shared, attachment, signal);
  const nodeId = nodeIdOf(shared, attachment);
  const volumeId = volume?.spec?.csi?.volumeHandle;
  // Without the PV or a node id there was never a publish: both are written before it.
  if (volume && volumeId && nodeId) {
    const secrets = await readSecret(client, controllerSecretOf(volume, 'publish'), signal);
    const request = create(ControllerUnpublishVolumeRequestSchema, { volumeId, nodeId, secrets });
    await callController('ControllerUnpublishVolume', () =>
      controller.controllerUnpublishVolume(request, { signal }),
    );
  }
  await writeStatus(shared, attachment, { attached: false }, signal);
  await removeFinalizer(client, VolumeAttachments, attachment, finalizer, { signal });
}

function nodeIdOf({ driver, nodes }: Attacher, attachment: Stored<VolumeAttachment>): string | undefined {
  const node = nodes.get({ name: attachment.spec?.nodeName ?? '' });
  const known = node?.spec?.drivers?.find((one) => one.name === driver)?.nodeID;
  return known ?? attachment.metadata.annotations?.[nodeIdAnnotation];
}

async function volumeOf(
  { client, volumes }: Attacher,
  attachment: Stored<VolumeAttachment>,
  signal: AbortSignal,
): Promise<Stored<PersistentVolume> | undefined> {
  const name = attachedVolumeName(attachment);
  if (!name)
    throw new RpcError(
      Code.INVALID_ARGUMENT,
      'inline volumes cannot be attached by this driver: use a PersistentVolume',
    );
  return volumes.get({ name }) ?? (await client.get(PersistentVolumes, { name }, { signal }));
}

/** The PV must not go while anything of it is attached; undefined where it is on its way. */
async function holdVolume(
  { client, finalizer }: Attacher,
  volume: Stored<PersistentVolume>,
  signal: AbortSignal,
): Promise<Stored<PersistentVolume> | undefined> {
  // A write finds out by itself that the cache is behind; a finalizer that is there already has to be asked for.
  const current = hasFinalizer(volume, finalizer)
    ? await client.get(PersistentVolumes, refOf(volume), { signal })
    : volume;
  return current && (await addFinalizer(client, PersistentVolumes, current, finalizer, { signal }));
}

async function writeStatus(
  { client, attachments }: Attacher,
  attachment: Stored<VolumeAttachment>,
  status: VolumeAttachmentStatus,
  signal: AbortSignal,
): Promise<void> {
  // Our own writes bring us here again: what is settled must not look unsettled then, and be done twice.
  attachments.remember(await patchStatus(client, VolumeAttachments, attachment, status, { signal }));
}

/** A driver that registers on a node, and a volume that is given back, let those that wait for it go on. */
function attachmentTriggers(attachments: Cache<VolumeAttachment>): Trigger<never>[] {
  const waiting = (wanted: (one: Stored<VolumeAttachment>) => boolean) =>
    attachments
      .list()
      .filter((one) => !one.status?.attached && wanted(one))
      .map(refOf);
  return [
    triggeredBy<CSINode>(CSINodes, (node) => waiting((one) => one.spec?.nodeName === node.metadata.name)),
    triggeredBy<VolumeAttachment>(VolumeAttachments, (leaving) =>
      isDeleted(leaving)
        ? waiting((one) => attachedVolumeName(one) === attachedVolumeName(leaving) && !isDeleted(one))
        : [],
    ),
  ];
}

/** Lets a deleted PV go once nothing of it is attached. */
export function attachedVolumes({ driver, client, caches }: SidecarDeps): ControllerSpec<PersistentVolume> {
  const finalizer = attacherFinalizer(driver);
  const attachments = caches.cache(VolumeAttachments);
  return {
    resource: PersistentVolumes,
    triggers: [triggeredByAttachments()],
    reconciler: {
      name: 'csi-attached-volumes',
      async reconcile(volume, { signal }) {
        if (!isDeleted(volume) || !hasFinalizer(volume, finalizer)) return done;
        if (attachmentOf(attachments, volume.metadata.name)) return done;
        await removeFinalizer(client, PersistentVolumes, volume, finalizer, { signal });
        return done;
      },
    },
  };
}

function capabilityOf({ spec }: Stored<PersistentVolume>): VolumeCapability {
  const modes = spec?.accessModes ?? [];
  // One mode stands for all: the widest, as more than one node may come if any mode of the PV allows it.
  const order = ['ReadWriteMany', 'ReadOnlyMany', 'ReadWriteOnce', 'ReadWriteOncePod'];
  return volumeCapability({
    accessMode: order.find((mode) => modes.includes(mode)) ?? '',
    block: spec?.volumeMode === 'Block',
    fsType: spec?.csi?.fsType ?? '',
    mountFlags: spec?.mountOptions ?? [],
  });
}

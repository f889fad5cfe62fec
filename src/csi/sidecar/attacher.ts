import { create } from '@bufbuild/protobuf';
import type { PersistentVolume } from 'kubernetes-types/core/v1.js';
import type { CSINode, VolumeAttachment } from 'kubernetes-types/storage/v1.js';
import { CSINodes, PersistentVolumes, VolumeAttachments } from '../../api/core.ts';
import { refOf, type Stored } from '../../api/resource.ts';
import { addFinalizer, hasFinalizer, isDeleted, removeFinalizer } from '../../control/finalizer.ts';
import { done, requeueAfter, type Outcome } from '../../control/outcome.ts';
import type { ControllerSpec, ReconcileContext, Trigger } from '../../control/reconciler.ts';
import { triggeredBy } from '../../control/trigger.ts';
import {
  ControllerPublishVolumeRequestSchema,
  ControllerUnpublishVolumeRequestSchema,
  type VolumeCapability,
} from '../../gen/csi/v1/csi_pb.js';
import type { Cache } from '../../kube/cache.ts';
import { secondTime } from '../../kube/micro-time.ts';
import { Code, RpcError } from '../../lib/grpc.ts';
import { readSecret } from './class-secrets.ts';
import { callController, describeFailure } from './controller-calls.ts';
import type { SidecarDeps } from './provisioner.ts';
import { retryDelays } from './retry-delays.ts';
import { volumeCapability } from './volume-capability.ts';
import { controllerSecretOf } from './volume-secrets.ts';

/** On VolumeAttachments and PVs, as upstream's attacher names it: `external-attacher/rook-ceph-rbd-csi-ceph-com`. */
export const attacherFinalizer = (driver: string): string =>
  `external-attacher/${driver.replaceAll('.', '-')}`;

/** Where upstream's attacher notes the driver's node id, so that a detach works after the CSINode is gone. */
const nodeIdAnnotation = 'csi.alpha.kubernetes.io/node-id';

/**
 * A volume whose client was killed is given back by nobody's message: Ceph drops the client's watch half a minute
 * later. A pod waits for that elsewhere, so it is looked at often.
 */
const maxDelayMs = 5_000;

/** external-attacher's work: ControllerPublish for each VolumeAttachment of ours, ControllerUnpublish before it goes. */
export function attacher(deps: SidecarDeps): ControllerSpec<VolumeAttachment> {
  const { driver, client, caches, controller } = deps;
  const finalizer = attacherFinalizer(driver);
  const nodes = caches.cache(CSINodes);
  const attachments = caches.cache(VolumeAttachments);
  const volumes = caches.cache(PersistentVolumes);
  const delays = retryDelays(deps.random, maxDelayMs);

  const nodeIdOf = (attachment: Stored<VolumeAttachment>): string | undefined => {
    const node = nodes.get({ name: attachment.spec?.nodeName ?? '' });
    const known = node?.spec?.drivers?.find((one) => one.name === driver)?.nodeID;
    return known ?? attachment.metadata.annotations?.[nodeIdAnnotation];
  };
  const volumeOf = async (attachment: Stored<VolumeAttachment>, signal: AbortSignal) => {
    const name = attachment.spec?.source?.persistentVolumeName;
    if (!name)
      throw new RpcError(
        Code.INVALID_ARGUMENT,
        'inline volumes cannot be attached by this driver: use a PersistentVolume',
      );
    return volumes.get({ name }) ?? (await client.get(PersistentVolumes, { name }, { signal }));
  };
  /** The PV must not go while anything of it is attached; undefined where it is on its way. */
  const holdVolume = async (volume: Stored<PersistentVolume>, signal: AbortSignal) => {
    // A write finds out by itself that the cache is behind; a finalizer that is there already has to be asked for.
    const current = hasFinalizer(volume, finalizer)
      ? await client.get(PersistentVolumes, refOf(volume), { signal })
      : volume;
    return current && (await addFinalizer(client, PersistentVolumes, current, finalizer, { signal }));
  };

  const attach = async (attachment: Stored<VolumeAttachment>, signal: AbortSignal): Promise<void> => {
    const volume = await volumeOf(attachment, signal);
    const source = volume?.spec?.csi;
    if (!volume || !source)
      throw new RpcError(Code.NOT_FOUND, 'its PersistentVolume does not exist, or is none of CSI');
    const nodeId = nodeIdOf(attachment);
    if (!nodeId)
      throw new RpcError(
        Code.FAILED_PRECONDITION,
        `driver ${driver} is not registered on node ${attachment.spec?.nodeName} yet: its csi-rbdplugin pod has to run there`,
      );
    const annotations = { [nodeIdAnnotation]: nodeId };
    // All before the publish, and none of them before another: a detach without a publish finds nothing to undo.
    const [heldVolume, held, secrets] = await Promise.all([
      holdVolume(volume, signal),
      addFinalizer(client, VolumeAttachments, attachment, finalizer, { signal, annotations }),
      readSecret(client, controllerSecretOf(volume, 'publish'), signal),
    ]);
    if (!heldVolume)
      throw new RpcError(
        Code.FAILED_PRECONDITION,
        `persistentvolume ${volume.metadata.name} is being deleted`,
      );
    if (!held) return; // Deleted meanwhile, with nothing done.
    const request = create(ControllerPublishVolumeRequestSchema, {
      volumeId: source.volumeHandle,
      nodeId,
      readonly: source.readOnly ?? false,
      secrets,
      volumeContext: { ...source.volumeAttributes },
      volumeCapability: capabilityOf(volume),
    });
    const { controllerPublishVolume: publish } = controller;
    const answer = await callController(
      'ControllerPublishVolume',
      publish && (() => publish(request, { signal })),
    );
    await writeStatus(
      attachment,
      { attached: true, attachmentMetadata: answer.publishContext ?? {}, attachError: null },
      signal,
    );
  };

  const detach = async (attachment: Stored<VolumeAttachment>, signal: AbortSignal): Promise<void> => {
    const volume = await volumeOf(attachment, signal);
    const nodeId = nodeIdOf(attachment);
    const handle = volume?.spec?.csi?.volumeHandle;
    // Without the PV or a node id there was never a publish: both are written before it.
    if (volume && handle && nodeId) {
      const secrets = await readSecret(client, controllerSecretOf(volume, 'publish'), signal);
      const request = create(ControllerUnpublishVolumeRequestSchema, { volumeId: handle, nodeId, secrets });
      const { controllerUnpublishVolume: unpublish } = controller;
      await callController('ControllerUnpublishVolume', unpublish && (() => unpublish(request, { signal })));
    }
    await writeStatus(attachment, { attached: false, detachError: null }, signal);
    await removeFinalizer(client, VolumeAttachments, attachment, finalizer, { signal });
  };

  const writeStatus = async (attachment: Stored<VolumeAttachment>, status: object, signal: AbortSignal) => {
    const body = { metadata: { uid: attachment.metadata.uid }, status };
    const written = await client.patch(
      VolumeAttachments,
      refOf(attachment),
      { type: 'merge', body },
      { signal, subresource: 'status' },
    );
    // Our own writes bring us here again: what is settled must not look unsettled then, and be done twice.
    attachments.remember(written);
  };

  /** Runs one direction; a failure stands in the status, where attach/detach and users look for it. */
  const run = async (
    attachment: Stored<VolumeAttachment>,
    field: 'attachError' | 'detachError',
    { signal, log }: ReconcileContext,
    body: () => Promise<void>,
  ): Promise<Outcome> => {
    const key = `${field}/${attachment.metadata.uid}`;
    try {
      await body();
      delays.succeeded(key);
      log.info(
        { volume: attachment.spec?.source?.persistentVolumeName, node: attachment.spec?.nodeName, field },
        'attachment settled',
      );
      return done;
    } catch (error) {
      signal.throwIfAborted();
      const message = describeFailure(error);
      const before = attachment.status?.[field]?.message;
      if (before !== message)
        await writeStatus(attachment, { [field]: { message, time: secondTime(deps.now()) } }, signal);
      return requeueAfter(delays.failed(key));
    }
  };

  return {
    resource: VolumeAttachments,
    concurrency: 8,
    triggers: attachmentTriggers(attachments),
    reconciler: {
      name: 'csi-attacher',
      async reconcile(attachment, context) {
        if (attachment.spec?.attacher !== driver) return done;
        if (isDeleted(attachment)) {
          if (!hasFinalizer(attachment, finalizer)) return done;
          return await run(attachment, 'detachError', context, () => detach(attachment, context.signal));
        }
        if (attachment.status?.attached) return done;
        return await run(attachment, 'attachError', context, () => attach(attachment, context.signal));
      },
    },
  };
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
      isDeleted(leaving) ? waiting((one) => sameVolume(one, leaving) && !isDeleted(one)) : [],
    ),
  ];
}

const sameVolume = (a: VolumeAttachment, b: VolumeAttachment) =>
  a.spec?.source?.persistentVolumeName === b.spec?.source?.persistentVolumeName;

/** Lets a deleted PV go once nothing of it is attached. */
export function attachedVolumes({ driver, client, caches }: SidecarDeps): ControllerSpec<PersistentVolume> {
  const finalizer = attacherFinalizer(driver);
  const attachments = caches.cache(VolumeAttachments);
  return {
    resource: PersistentVolumes,
    triggers: [
      triggeredBy<VolumeAttachment>(VolumeAttachments, ({ spec }) =>
        spec?.source?.persistentVolumeName ? [{ name: spec.source.persistentVolumeName }] : [],
      ),
    ],
    reconciler: {
      name: 'csi-attached-volumes',
      async reconcile(volume, { signal }) {
        if (!isDeleted(volume) || !hasFinalizer(volume, finalizer)) return done;
        const name = volume.metadata.name;
        if (attachments.list().some((one) => one.spec?.source?.persistentVolumeName === name)) return done;
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

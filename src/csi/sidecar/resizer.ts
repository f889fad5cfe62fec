import { create } from '@bufbuild/protobuf';
import type {
  PersistentVolume,
  PersistentVolumeClaim,
  PersistentVolumeClaimCondition,
} from 'kubernetes-types/core/v1.js';
import { PersistentVolumeClaims, PersistentVolumes } from '../../api/core.ts';
import { refOf, type Stored } from '../../api/resource.ts';
import { isDeleted } from '../../control/finalizer.ts';
import { done, requeueAfter } from '../../control/outcome.ts';
import type { ControllerSpec } from '../../control/reconciler.ts';
import { ControllerExpandVolumeRequestSchema } from '../../gen/csi/v1/csi_pb.js';
import { secondTime } from '../../kube/micro-time.ts';
import { formatBytes, parseBytes } from '../../lib/quantity.ts';
import { readSecret } from './class-secrets.ts';
import { callController, describeFailure } from './controller-calls.ts';
import type { SidecarDeps } from './provisioner.ts';
import { retryDelays } from './retry-delays.ts';
import { controllerSecretOf } from './volume-secrets.ts';

/**
 * external-resizer's work: a bound claim that asks for more gets its image and its PV grown; the filesystem is
 * grown on the node, which then writes the claim's capacity.
 */
export function resizer(deps: SidecarDeps): ControllerSpec<PersistentVolumeClaim> {
  const { driver, client, events, controller } = deps;
  const delays = retryDelays(deps.random);

  const writeStatus = async (claim: Stored<PersistentVolumeClaim>, status: object, signal: AbortSignal) => {
    const body = { metadata: { uid: claim.metadata.uid }, status };
    await client.patch(
      PersistentVolumeClaims,
      refOf(claim),
      { type: 'merge', body },
      { signal, subresource: 'status' },
    );
  };
  const condition = (
    type: 'Resizing' | 'FileSystemResizePending',
    message?: string,
  ): PersistentVolumeClaimCondition => ({
    type,
    status: 'True',
    lastTransitionTime: secondTime(deps.now()),
    ...(message ? { message } : {}),
  });
  const others = (claim: Stored<PersistentVolumeClaim>) =>
    (claim.status?.conditions ?? []).filter(
      ({ type }) => type !== 'Resizing' && type !== 'FileSystemResizePending',
    );

  const grow = async (
    claim: Stored<PersistentVolumeClaim>,
    volume: Stored<PersistentVolume>,
    bytes: bigint,
    signal: AbortSignal,
  ): Promise<void> => {
    if (!claim.status?.conditions?.some(({ type }) => type === 'Resizing')) {
      await writeStatus(claim, { conditions: [...others(claim), condition('Resizing')] }, signal);
      events.tell(claim, 'Normal', 'Resizing', `External resizer is resizing volume ${volume.metadata.name}`);
    }
    const secrets = await readSecret(client, controllerSecretOf(volume, 'expand'), signal);
    const block = volume.spec?.volumeMode === 'Block';
    const request = create(ControllerExpandVolumeRequestSchema, {
      volumeId: volume.spec?.csi?.volumeHandle ?? '',
      capacityRange: { requiredBytes: bytes },
      secrets,
      volumeCapability: {
        accessType: block
          ? { case: 'block', value: {} }
          : { case: 'mount', value: { fsType: volume.spec?.csi?.fsType ?? '' } },
      },
    });
    const { controllerExpandVolume: expand } = controller;
    const answer = await callController(
      'ControllerExpandVolume',
      expand && (() => expand(request, { signal })),
    );
    const storage = formatBytes(BigInt(answer.capacityBytes ?? bytes));
    await client.patch(
      PersistentVolumes,
      refOf(volume),
      { type: 'merge', body: { metadata: { uid: volume.metadata.uid }, spec: { capacity: { storage } } } },
      { signal },
    );
    if (answer.nodeExpansionRequired) {
      const text = 'Waiting for user to (re-)start a pod to finish file system resize of volume on node.';
      await writeStatus(
        claim,
        { conditions: [...others(claim), condition('FileSystemResizePending', text)] },
        signal,
      );
      events.tell(
        claim,
        'Normal',
        'FileSystemResizeRequired',
        'Require file system resize of volume on node',
      );
    } else {
      await writeStatus(claim, { capacity: { storage }, conditions: others(claim) }, signal);
      events.tell(claim, 'Normal', 'VolumeResizeSuccessful', 'Resize volume succeeded');
    }
  };

  return {
    resource: PersistentVolumeClaims,
    reconciler: {
      name: 'csi-resizer',
      async reconcile(claim, { signal }) {
        const name = claim.spec?.volumeName;
        if (!name || isDeleted(claim) || claim.status?.phase !== 'Bound') return done;
        const wanted = parseBytes(String(claim.spec?.resources?.requests?.['storage'] ?? '0')) ?? 0n;
        const present = parseBytes(String(claim.status.capacity?.['storage'] ?? '0')) ?? 0n;
        if (wanted <= present) return done;
        const volume = await client.get(PersistentVolumes, { name }, { signal });
        if (
          !volume ||
          volume.spec?.csi?.driver !== driver ||
          volume.spec.claimRef?.uid !== claim.metadata.uid
        )
          return done;
        const capacity = parseBytes(String(volume.spec.capacity?.['storage'] ?? '0')) ?? 0n;
        const pending =
          claim.status.conditions?.some(({ type }) => type === 'FileSystemResizePending') ?? false;
        if (capacity >= wanted && pending) return done; // The rest is the node's.
        try {
          await grow(claim, volume, wanted, signal);
          delays.succeeded(claim.metadata.uid);
          return done;
        } catch (error) {
          signal.throwIfAborted();
          const text = `resize volume "${name}" by resizer "${driver}" failed: ${describeFailure(error)}`;
          events.tell(claim, 'Warning', 'VolumeResizeFailed', text);
          return requeueAfter(delays.failed(claim.metadata.uid));
        }
      },
    },
  };
}

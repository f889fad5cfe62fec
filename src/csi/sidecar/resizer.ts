import { create } from '@bufbuild/protobuf';
import type {
  PersistentVolume,
  PersistentVolumeClaim,
  PersistentVolumeClaimCondition,
} from 'kubernetes-types/core/v1.js';
import { PersistentVolumeClaims, PersistentVolumes } from '../../api/core.ts';
import { refOf, type Stored } from '../../api/resource.ts';
import { isDeleted } from '../../control/finalizer.ts';
import { done } from '../../control/outcome.ts';
import type { ControllerSpec } from '../../control/reconciler.ts';
import { ControllerExpandVolumeRequestSchema } from '../../gen/csi/v1/csi_pb.js';
import { secondTime } from '../../kube/micro-time.ts';
import { patchStatus } from '../../kube/patch.ts';
import { formatBytes, parseBytes } from '../../lib/quantity.ts';
import { readSecret } from './class-secrets.ts';
import { callController } from './controller-calls.ts';
import { retryDelays } from './retry-delays.ts';
import type { SidecarDeps } from './sidecar-deps.ts';
import { controllerSecretOf } from './volume-secrets.ts';

/**
 * external-resizer's work: a bound claim that asks for more gets its image and its PV grown; the filesystem is
 * grown on the node, which then writes the claim's capacity.
 */
export function resizer(deps: SidecarDeps): ControllerSpec<PersistentVolumeClaim> {
  const { driver, events } = deps;
  const delays = retryDelays();
  return {
    resource: PersistentVolumeClaims,
    reconciler: {
      name: 'csi-resizer',
      async reconcile(claim, { signal }) {
        const growth = await growthOf(deps, claim, signal);
        if (!growth) return done;
        return await delays.attempt(
          claim.metadata.uid,
          signal,
          () => grow(deps, growth, signal),
          (reason) => {
            const { name } = growth.volume.metadata;
            const text = `resize volume "${name}" by resizer "${driver}" failed: ${reason}`;
            events.tell(claim, 'Warning', 'VolumeResizeFailed', text);
          },
        );
      },
    },
  };
}

interface Growth {
  readonly claim: Stored<PersistentVolumeClaim>;
  readonly volume: Stored<PersistentVolume>;
  /** What the claim asks for. */
  readonly bytes: bigint;
}

/** What there is to do for a claim; undefined where nothing is, or the rest of it is the node's. */
async function growthOf(
  { driver, client }: SidecarDeps,
  claim: Stored<PersistentVolumeClaim>,
  signal: AbortSignal,
): Promise<Growth | undefined> {
  const name = claim.spec?.volumeName;
  if (!name || isDeleted(claim) || claim.status?.phase !== 'Bound') return undefined;
  const bytes = storageBytes(claim.spec?.resources?.requests);
  if (bytes <= storageBytes(claim.status.capacity)) return undefined;
  const volume = await client.get(PersistentVolumes, { name }, { signal });
  if (volume?.spec?.csi?.driver !== driver) return undefined;
  if (volume.spec.claimRef?.uid !== claim.metadata.uid) return undefined;
  const waitsForNode = hasCondition(claim, 'FileSystemResizePending');
  if (waitsForNode && storageBytes(volume.spec.capacity) >= bytes) return undefined;
  return { claim, volume, bytes };
}

const storageBytes = (quantities: Readonly<Record<string, unknown>> | undefined): bigint =>
  parseBytes(String(quantities?.['storage'] ?? '0')) ?? 0n;

async function grow(deps: SidecarDeps, growth: Growth, signal: AbortSignal): Promise<void> {
  const { client, events } = deps;
  const { volume, bytes } = growth;
  let { claim } = growth;
  if (!hasCondition(claim, 'Resizing')) {
    const conditions = [...otherConditions(claim), condition(deps, 'Resizing')];
    claim = await patchStatus(
      client,
      PersistentVolumeClaims,
      claim,
      { ...claim.status, conditions },
      { signal },
    );
    events.tell(claim, 'Normal', 'Resizing', `External resizer is resizing volume ${volume.metadata.name}`);
  }
  const answer = await expandVolume(deps, volume, bytes, signal);
  const storage = formatBytes(BigInt(answer.capacityBytes ?? bytes));
  await client.patch(
    PersistentVolumes,
    refOf(volume),
    { type: 'merge', body: { metadata: { uid: volume.metadata.uid }, spec: { capacity: { storage } } } },
    { signal },
  );
  if (answer.nodeExpansionRequired) {
    const text = 'Waiting for user to (re-)start a pod to finish file system resize of volume on node.';
    const conditions = [...otherConditions(claim), condition(deps, 'FileSystemResizePending', text)];
    await patchStatus(client, PersistentVolumeClaims, claim, { ...claim.status, conditions }, { signal });
    const message = 'Require file system resize of volume on node';
    events.tell(claim, 'Normal', 'FileSystemResizeRequired', message);
  } else {
    const status = { ...claim.status, capacity: { storage }, conditions: otherConditions(claim) };
    await patchStatus(client, PersistentVolumeClaims, claim, status, { signal });
    events.tell(claim, 'Normal', 'VolumeResizeSuccessful', 'Resize volume succeeded');
  }
}

async function expandVolume(
  { client, controller }: SidecarDeps,
  volume: Stored<PersistentVolume>,
  bytes: bigint,
  signal: AbortSignal,
) {
  const request = create(ControllerExpandVolumeRequestSchema, {
    volumeId: volume.spec?.csi?.volumeHandle ?? '',
    capacityRange: { requiredBytes: bytes },
    secrets: await readSecret(client, controllerSecretOf(volume, 'expand'), signal),
    volumeCapability: {
      accessType:
        volume.spec?.volumeMode === 'Block'
          ? { case: 'block', value: {} }
          : { case: 'mount', value: { fsType: volume.spec?.csi?.fsType ?? '' } },
    },
  });
  return await callController('ControllerExpandVolume', () =>
    controller.controllerExpandVolume(request, { signal }),
  );
}

type ResizeCondition = 'Resizing' | 'FileSystemResizePending';

const condition = (
  { now }: SidecarDeps,
  type: ResizeCondition,
  message?: string,
): PersistentVolumeClaimCondition => ({
  type,
  status: 'True',
  lastTransitionTime: secondTime(now()),
  ...(message ? { message } : {}),
});

const hasCondition = ({ status }: PersistentVolumeClaim, wanted: ResizeCondition): boolean =>
  status?.conditions?.some(({ type }) => type === wanted) ?? false;

const otherConditions = ({ status }: PersistentVolumeClaim): PersistentVolumeClaimCondition[] =>
  (status?.conditions ?? []).filter(({ type }) => type !== 'Resizing' && type !== 'FileSystemResizePending');

import type { PersistentVolume, PersistentVolumeClaim } from 'kubernetes-types/core/v1.js';
import { PersistentVolumeClaims } from '../../../api/core.ts';
import { refOf, type Stored } from '../../../api/resource.ts';
import type { KubeClient } from '../../../kube/client.ts';
import { parseBytes } from '../../../lib/quantity.ts';
import type { PodReferences } from '../references.ts';
import { driverSecret } from './claim-volume.ts';
import { Capability, driverCallMs, type DriverClient } from './driver-client.ts';
import type { VolumePlaces } from './places.ts';
import { volumeCapability } from './volume-spec.ts';

const pending = 'FileSystemResizePending';

/** The driver has grown the volume, and waits for the node to grow what is on it. */
export const waitsForNode = (claim: PersistentVolumeClaim | undefined): boolean =>
  claim?.status?.conditions?.some((one) => one.type === pending && one.status === 'True') ?? false;

export interface Growth {
  readonly claim: Stored<PersistentVolumeClaim>;
  readonly volume: Stored<PersistentVolume>;
  readonly places: VolumePlaces;
  readonly driver: DriverClient;
}

/** Grows the filesystem on the node, then says so in the claim's status. */
export async function expandVolume(
  client: KubeClient,
  references: PodReferences,
  { claim, volume, places, driver }: Growth,
  signal: AbortSignal,
): Promise<void> {
  const source = volume.spec?.csi;
  const capacity = volume.spec?.capacity?.['storage'];
  if (!source || capacity === undefined) return;
  if (!(await driver.has(Capability.EXPAND_VOLUME, signal))) return;
  const singleWriter = await driver.has(Capability.SINGLE_NODE_MULTI_WRITER, signal);
  await driver.calls.nodeExpandVolume(
    {
      volumeId: source.volumeHandle,
      volumePath: places.target,
      stagingTargetPath: places.stage,
      capacityRange: { requiredBytes: parseBytes(capacity) ?? 0n },
      volumeCapability: volumeCapability({ volume, singleWriter }),
      secrets: await driverSecret(references, source.nodeExpandSecretRef, signal),
    },
    { signal, timeoutMs: driverCallMs },
  );
  const conditions = (claim.status?.conditions ?? []).filter(
    (one) => one.type !== pending && one.type !== 'Resizing',
  );
  const status = { capacity: { storage: capacity }, conditions, allocatedResourceStatuses: null };
  const body = { metadata: { uid: claim.metadata.uid }, status };
  const options = { signal, subresource: 'status' as const };
  await client.patch(PersistentVolumeClaims, refOf(claim), { type: 'merge', body }, options);
}

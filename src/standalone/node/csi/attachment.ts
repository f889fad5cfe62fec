import type { VolumeAttachment } from 'kubernetes-types/storage/v1.js';
import { VolumeAttachments } from '../../../api/core.ts';
import type { Stored } from '../../../api/resource.ts';
import type { KubeClient } from '../../../kube/client.ts';
import { waitForObject } from '../../../kube/wait.ts';
import { isDeadlineError } from '../../../lib/deadline.ts';
import type { Clock } from '../../../lib/clock.ts';
import { attachmentName } from './paths.ts';

const attachMs = 120_000;

export interface AttachmentWish {
  readonly driver: string;
  readonly handle: string;
  readonly nodeName: string;
}

/**
 * Waits until attach/detach and the driver's attacher have brought a volume to this node. Answers what
 * the attach gave (the publish context). Throws with the attacher's own error where it has one.
 */
export async function waitForAttachment(
  client: KubeClient,
  wish: AttachmentWish,
  clock: Clock,
  signal: AbortSignal,
): Promise<Readonly<Record<string, string>>> {
  const name = attachmentName(wish.handle, wish.driver, wish.nodeName);
  let lastError: string | undefined;
  const settled = (attachment: Stored<VolumeAttachment> | undefined) => {
    lastError = attachment?.status?.attachError?.message;
    // One that is being deleted may be detached any moment: its successor is waited for.
    return attachment?.status?.attached === true && attachment.metadata.deletionTimestamp === undefined;
  };
  try {
    const attachment = await waitForObject(client, VolumeAttachments, { name }, settled, {
      signal,
      timeoutMs: attachMs,
      clock,
    });
    return attachment?.status?.attachmentMetadata ?? {};
  } catch (error) {
    if (!isDeadlineError(error)) throw error;
    throw new Error(
      lastError === undefined
        ? `timed out waiting for external-attacher of ${wish.driver} CSI driver to attach volume ${wish.handle}`
        : `AttachVolume.Attach failed for volume: ${lastError}`,
      { cause: error },
    );
  }
}

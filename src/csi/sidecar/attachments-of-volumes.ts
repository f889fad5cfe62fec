import type { VolumeAttachment } from 'kubernetes-types/storage/v1.js';
import { VolumeAttachments } from '../../api/core.ts';
import type { Stored } from '../../api/resource.ts';
import type { Trigger } from '../../control/reconciler.ts';
import { triggeredBy } from '../../control/trigger.ts';
import type { Cache } from '../../kube/cache.ts';

/** The PV that an attachment is of; undefined for an inline volume. */
export const attachedVolumeName = ({ spec }: VolumeAttachment): string | undefined =>
  spec?.source?.persistentVolumeName;

/** An attachment of the PV, while there is any. */
export const attachmentOf = (
  attachments: Cache<VolumeAttachment>,
  volumeName: string,
): Stored<VolumeAttachment> | undefined =>
  attachments.list().find((one) => attachedVolumeName(one) === volumeName);

/** For a controller of PVs: one is looked at again when an attachment of it comes or goes. */
export const triggeredByAttachments = (): Trigger<never> =>
  triggeredBy<VolumeAttachment>(VolumeAttachments, (attachment) => {
    const name = attachedVolumeName(attachment);
    return name ? [{ name }] : [];
  });

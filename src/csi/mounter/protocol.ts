import { z } from 'zod';

// What csi node asks of the mounter, over a unix socket of mode 0600: JSON over HTTP.

const Image = z.object({
  clusterId: z.string().min(1),
  pool: z.string().min(1),
  namespace: z.string().optional(),
  image: z.string().min(1),
});

const AttacherName = z.enum(['krbd', 'rbd-nbd', 'qsd']);

export const AttachBody = Image.extend({
  monHost: z.string().min(1),
  user: z.string().min(1),
  key: z.string().min(1),
  readOnly: z.boolean(),
  /** The volume is for one node at a time, the one that holds its lock. */
  exclusive: z.boolean().optional(),
  features: z.array(z.string()),
  /** The only one allowed, or with `tryOthers` the first to be tried; any where absent. */
  attacher: AttacherName.optional(),
  tryOthers: z.boolean().optional(),
});
export const ImageBody = Image;
const Filesystem = z.object({ fsType: z.string().min(1), options: z.array(z.string()) });
export const ReleaseBody = Image.extend({
  /** What was mounted from the device: with it a mount whose daemon died can be healed. */
  filesystem: Filesystem.optional(),
});
export const ResizeBody = Image.extend({ sizeBytes: z.string().regex(/^\d+$/) });

export type AttachBody = z.infer<typeof AttachBody>;
export type ImageBody = z.infer<typeof ImageBody>;
export type Filesystem = z.infer<typeof Filesystem>;

export const Device = Image.extend({
  device: z.string(),
  major: z.int(),
  minor: z.int(),
  alive: z.boolean(),
});
export type Device = z.infer<typeof Device>;

/** The device, how it was attached, and why not by those that come before: `krbd: the kernel has no rbd module`. */
export const Attached = Device.extend({ attacher: AttacherName, passedOver: z.array(z.string()) });
export type Attached = z.infer<typeof Attached>;

/** Why the mounter refused; `busy` may be tried again. */
export const Failure = z.object({
  error: z.string(),
  code: z.enum(['busy', 'unusable', 'failed']),
});
export type Failure = z.infer<typeof Failure>;

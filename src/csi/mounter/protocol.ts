import { z } from 'zod';

/** What csi node asks of the mounter, over a unix socket of mode 0600: JSON over HTTP. */
export const socketName = 'mounter.sock';

const Image = z.object({
  clusterId: z.string().min(1),
  pool: z.string().min(1),
  namespace: z.string().optional(),
  image: z.string().min(1),
});

export const AttachBody = Image.extend({
  monHost: z.string().min(1),
  user: z.string().min(1),
  key: z.string().min(1),
  readOnly: z.boolean(),
  features: z.array(z.string()),
  /** `qsd`, `krbd`, `rbd-nbd`; any where absent. */
  attacher: z.enum(['krbd', 'rbd-nbd', 'qsd']).optional(),
});
export const ImageBody = Image;
export const ResizeBody = Image.extend({ sizeBytes: z.string().regex(/^\d+$/) });

export type AttachBody = z.infer<typeof AttachBody>;
export type ImageBody = z.infer<typeof ImageBody>;

export const Device = Image.extend({
  device: z.string(),
  major: z.int(),
  minor: z.int(),
  alive: z.boolean(),
});
export type Device = z.infer<typeof Device>;

/** Why the mounter refused; `busy` may be tried again. */
export const Failure = z.object({
  error: z.string(),
  code: z.enum(['busy', 'unusable', 'failed']),
});
export type Failure = z.infer<typeof Failure>;

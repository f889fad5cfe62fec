import { createHash } from 'node:crypto';
import { z } from 'zod';
import type { ImageSpec } from './attacher.ts';

/** An image as a file has it. */
export const ImageShape = z.object({
  clusterId: z.string(),
  pool: z.string(),
  namespace: z.string().optional(),
  image: z.string(),
});

/** Tells one image from every other; no namespace is the same as the one without a name. */
export const imageKey = ({ clusterId, pool, namespace, image }: ImageSpec): string =>
  JSON.stringify([clusterId, pool, namespace ?? '', image]);

/** What files of an image are named by: pool and image names may hold slashes, and a socket's path is short. */
export const imageFileName = (image: ImageSpec): string =>
  createHash('sha256').update(imageKey(image)).digest('hex').slice(0, 20);

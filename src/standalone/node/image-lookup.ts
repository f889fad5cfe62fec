import type { ImageEntry, ImageTable } from '../images/table.ts';
import { normaliseImage } from './image-resolution.ts';

/** The entry that an image name stands for. */
export const lookupImage = (table: ImageTable, name: string): ImageEntry | undefined => {
  const full = normaliseImage(name);
  return table.entries.find((entry) => normaliseImage(entry.name) === full);
};

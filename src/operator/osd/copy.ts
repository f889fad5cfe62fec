import { cp, mkdir } from 'node:fs/promises';
import { constants } from 'node:fs';
import { join } from 'node:path';

/**
 * Copies Holdfast’s program (node, bundle with its chunks, native library) from its image into a shared volume, so that a
 * container of Ceph’s image can run it. `from` is the folder that holds them, /opt/holdfast in the image.
 */
export async function runOsdCopy(options: { readonly from: string; readonly to: string }): Promise<void> {
  await mkdir(options.to, { recursive: true });
  const parts = ['node', 'holdfast.mjs', 'chunks', 'node_modules'];
  await Promise.all(
    parts.map((part) =>
      // A clone of the blocks where the filesystem can, else a copy.
      cp(join(options.from, part), join(options.to, part), {
        recursive: true,
        dereference: true,
        mode: constants.COPYFILE_FICLONE,
      }),
    ),
  );
}

import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

/** A tree of unpacked packages with Ceph in it, and the environment in which its binaries run on this host. */
export interface CephTree {
  readonly root: string;
  readonly libraryPath: readonly string[];
  readonly env: Readonly<Record<string, string>>;
}

/**
 * The tree that scripts/setup made, or HOLDFAST_TREE. The host's own libraries come first: they fit its loader,
 * and what it lacks (librados, libfmt, Python's) comes from the tree.
 */
export async function findCephTree(): Promise<CephTree> {
  const cache = process.env['HOLDFAST_CACHE'] ?? '/var/cache/holdfast';
  const root =
    process.env['HOLDFAST_TREE'] ??
    (JSON.parse(await readFile(join(cache, 'tree.json'), 'utf8')) as { path: string }).path;
  if (!existsSync(join(root, 'usr/bin/ceph-osd')))
    throw new Error(`${root} has no ceph-osd; run scripts/setup`);
  const libraries = 'usr/lib/x86_64-linux-gnu';
  const libraryPath = [`/${libraries}`, join(root, libraries), join(root, libraries, 'ceph')];
  return {
    root,
    libraryPath,
    env: {
      LD_LIBRARY_PATH: libraryPath.join(':'),
      PYTHONHOME: join(root, 'usr'),
      PYTHONPATH: join(root, 'usr/lib/python3/dist-packages'),
      QEMU_MODULE_DIR: join(root, libraries, 'qemu'),
    },
  };
}

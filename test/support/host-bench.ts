import { rm } from 'node:fs/promises';
import { hostFilesystems } from '../../src/host/filesystems.ts';
import { hostLoops } from '../../src/host/loops.ts';
import { hostMounts } from '../../src/host/mounts.ts';
import { hostTools } from '../../src/host/tools.ts';
import { findCephTree } from './ceph-tree.ts';

/** What src/host does on this machine, with the tools of the test's tree. */
export async function hostBench() {
  const tree = await findCephTree();
  const tools = hostTools({ root: tree.root, env: tree.env });
  const loops = hostLoops(tools);
  const mounts = hostMounts(tools);
  return {
    tree,
    tools,
    loops,
    mounts,
    filesystems: hostFilesystems(tools),
    /** Removes a folder, with the mounts in it and the loops on its files. */
    async removeFolder(folder: string, signal: AbortSignal): Promise<void> {
      for (const entry of (await mounts.list()).reverse())
        if (entry.mountPoint.startsWith(`${folder}/`))
          await mounts.unmount(entry.mountPoint, { lazy: true }, signal);
      for (const loop of await loops.list(signal))
        if (loop.backingPath.startsWith(`${folder}/`)) await loops.detach(loop, signal);
      await rm(folder, { recursive: true, force: true });
    },
  };
}

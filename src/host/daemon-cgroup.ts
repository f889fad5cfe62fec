import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fillCpuset, findHierarchies, hasCpuset } from '../lib/cgroup-hierarchies.ts';

/** Where daemons live that must outlive the container they were started in. */
export interface DaemonCgroup {
  /** Moves a process, with all its threads, there. One that is there already stays. */
  take(pid: number): Promise<void>;
}

const group = 'holdfast-mounter';

/**
 * A cgroup beside the pods'. A container's runtime ends what is left in the container's own cgroup when its first
 * process dies, and kubelet empties the pod's; neither looks at ours. Reached through the node's first process, for
 * a container may see nothing but its own group: this needs hostPID and a privileged container.
 */
export function daemonCgroup(proc = '/proc'): DaemonCgroup {
  const nodeRoot = join(proc, '1/root');
  return {
    async take(pid) {
      const hierarchies = await findHierarchies(await readFile(join(proc, '1/mountinfo'), 'utf8'));
      if (hierarchies.length === 0) throw new Error('the node has no cgroup hierarchy below /sys/fs/cgroup');
      // In every hierarchy of v1: which of them a runtime goes by is its own affair.
      for (const hierarchy of hierarchies) {
        const folder = join(nodeRoot, hierarchy.mount, group);
        await mkdir(folder, { recursive: true });
        if (hasCpuset(hierarchy)) await fillCpuset(dirname(folder), folder);
        await writeFile(join(folder, 'cgroup.procs'), String(pid));
      }
    },
  };
}

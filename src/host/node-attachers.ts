import { join } from 'node:path';
import type { Clock } from '../lib/clock.ts';
import type { Logger } from '../lib/log.ts';
import { krbdAttacher } from './attach-krbd.ts';
import { nbdAttacher } from './attach-nbd.ts';
import { qsdAttacher, type QsdAttacher } from './attach-qsd.ts';
import type { RbdAttacher } from './attacher.ts';
import { daemonCgroup } from './daemon-cgroup.ts';
import { hostLoops } from './loops.ts';
import { hostMounts } from './mounts.ts';
import { qsdDaemon } from './qsd-daemon.ts';
import type { Fence } from './qsd-steps.ts';
import type { Remounter } from './remounter.ts';
import { hostTools } from './tools.ts';

export interface NodeAttachersOptions {
  /** Has to outlive the process; mode 0700. */
  readonly stateDir: string;
  readonly clock: Clock;
  readonly log: Logger;
  /** For healing; without them a dead daemon's mount stays dead. */
  readonly fence?: Fence;
  readonly remounter?: Remounter;
}

/**
 * The ways to attach an image, in the order of preference. qsd first: it needs nothing of the kernel but FUSE
 * and loops, knows every feature, and is what every test run attaches by. Then the kernel's own client, which has no
 * daemon that could die; it has been run by hand on one kernel. rbd-nbd, where somebody put its program, last.
 */
export function nodeAttachers(options: NodeAttachersOptions): [QsdAttacher, RbdAttacher, RbdAttacher] {
  const { stateDir, ...deps } = options;
  const tools = hostTools();
  const mounts = hostMounts(tools);
  return [
    qsdAttacher({
      tools,
      loops: hostLoops(tools),
      mounts,
      daemon: qsdDaemon(tools, deps.clock),
      cgroup: daemonCgroup(),
      ...deps,
      stateDir: join(stateDir, 'qsd'),
    }),
    krbdAttacher({ tools, mounts, stateDir: join(stateDir, 'krbd') }),
    nbdAttacher({ tools, mounts, stateDir: join(stateDir, 'nbd') }),
  ];
}

import { join } from 'node:path';
import type { Clock } from '../lib/clock.ts';
import type { Logger } from '../lib/log.ts';
import { nbdAttacher } from './attach-nbd.ts';
import { qsdAttacher, type QsdAttacher } from './attach-qsd.ts';
import type { RbdAttacher } from './attacher.ts';
import { daemonCgroup } from './daemon-cgroup.ts';
import { hostLoops } from './loops.ts';
import { hostMounts } from './mounts.ts';
import { qsdDaemon } from './qsd-daemon.ts';
import { hostTools } from './tools.ts';

export interface NodeAttachersOptions {
  /** Has to outlive the process; mode 0700. */
  readonly stateDir: string;
  readonly clock: Clock;
  readonly log: Logger;
}

/**
 * The ways this build attaches an image, in the order of preference. qsd comes first: it needs nothing of
 * the kernel but FUSE and loops, knows every image feature, and is the one that is tested on every run.
 */
export function nodeAttachers({ stateDir, clock, log }: NodeAttachersOptions): [QsdAttacher, RbdAttacher] {
  const tools = hostTools();
  const mounts = hostMounts(tools);
  return [
    qsdAttacher({
      tools,
      loops: hostLoops(tools),
      mounts,
      daemon: qsdDaemon(tools, clock),
      cgroup: daemonCgroup(),
      clock,
      log,
      stateDir: join(stateDir, 'qsd'),
    }),
    nbdAttacher({ tools, mounts, stateDir: join(stateDir, 'nbd') }),
  ];
}

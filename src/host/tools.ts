import { join } from 'node:path';
import { runCommand, type CommandOptions, type CommandResult } from '../lib/run-command.ts';

/** The tools of the node that are run here, by absolute path, as Debian and most distributions have them. */
const toolPaths = {
  blkid: '/usr/sbin/blkid',
  dd: '/usr/bin/dd',
  losetup: '/usr/sbin/losetup',
  'mkfs.ext4': '/usr/sbin/mkfs.ext4',
  'mkfs.xfs': '/usr/sbin/mkfs.xfs',
  modprobe: '/usr/sbin/modprobe',
  mount: '/usr/bin/mount',
  'qemu-storage-daemon': '/usr/bin/qemu-storage-daemon',
  'rbd-nbd': '/usr/bin/rbd-nbd',
  resize2fs: '/usr/sbin/resize2fs',
  umount: '/usr/bin/umount',
  xfs_growfs: '/usr/sbin/xfs_growfs',
} as const;

export type Tool = keyof typeof toolPaths;

export interface HostTools {
  run(tool: Tool, args: readonly string[], options: CommandOptions): Promise<CommandResult>;
  path(tool: Tool): string;
}

export interface HostToolsOptions {
  /** Put before each path: a tree with the tools in it. */
  readonly root?: string;
  /** Added to each tool's environment: library and module paths of that tree. */
  readonly env?: Readonly<Record<string, string>>;
}

export function hostTools({ root = '/', env = {} }: HostToolsOptions = {}): HostTools {
  const path = (tool: Tool) => join(root, toolPaths[tool]);
  return {
    path,
    run: (tool, args, options) =>
      runCommand(path(tool), args, { ...options, env: { ...env, ...options.env } }),
  };
}

import { expect, test } from 'vitest';
import { CommandError } from '../lib/run-command.ts';
import { hostFilesystems } from './filesystems.ts';
import type { HostTools } from './tools.ts';

const { signal } = new AbortController();
const failing = (stderr: string): HostTools => ({
  path: (tool) => tool,
  run: (tool) => Promise.reject(new CommandError(tool, 1, undefined, '', stderr)),
});
const grow = (stderr: string) => hostFilesystems(failing(stderr)).grow('/dev/loop9', 'ext4', '/mnt', signal);

test('where the kernel refuses to grow ext4, what is missing and what would do are said', async () => {
  const words =
    'resize2fs 1.47.0 (5-Feb-2023)\n/usr/sbin/resize2fs: Permission denied to resize filesystem\n';
  await expect(grow(words)).rejects.toThrow(/only with CAP_SYS_RESOURCE.*; xfs grows without it$/);
  await expect(grow('resize2fs: Invalid argument')).rejects.toThrow(/Invalid argument/);
});

import { mkdir, open, stat } from 'node:fs/promises';
import type { Stats } from 'node:fs';
import { ignoreMissing } from './safe-remove.ts';

const checks: Readonly<Record<string, { holds: (status: Stats) => boolean; what: string }>> = {
  Directory: { holds: (status) => status.isDirectory(), what: 'a directory' },
  DirectoryOrCreate: { holds: (status) => status.isDirectory(), what: 'a directory' },
  File: { holds: (status) => status.isFile(), what: 'a file' },
  FileOrCreate: { holds: (status) => status.isFile(), what: 'a file' },
  Socket: { holds: (status) => status.isSocket(), what: 'a socket file' },
  CharDevice: { holds: (status) => status.isCharacterDevice(), what: 'a character device' },
  BlockDevice: { holds: (status) => status.isBlockDevice(), what: 'a block device' },
};

/** Checks, or makes, what a hostPath volume's type asks for. The error texts are Kubernetes'. */
export async function prepareHostPath(path: string, type: string | undefined): Promise<void> {
  if (!type) return; // The runtime makes a missing folder, as it always did.
  const check = checks[type];
  if (!check) throw new Error(`${type} is an invalid volume type`);
  let status = await stat(path).catch(ignoreMissing);
  if (!status && type === 'DirectoryOrCreate') {
    await mkdir(path, { recursive: true, mode: 0o755 });
    status = await stat(path);
  }
  if (!status && type === 'FileOrCreate') {
    const file = await open(path, 'a', 0o644);
    await file.close();
    status = await stat(path);
  }
  if (!status || !check.holds(status))
    throw new Error(`hostPath type check failed: ${path} is not ${check.what}`);
}

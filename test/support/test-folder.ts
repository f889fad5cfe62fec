import { mkdir, mkdtemp } from 'node:fs/promises';
import { join } from 'node:path';

/** Where tests keep disks and state: on a real filesystem, for tmpfs takes no direct I/O. */
export const testFolder = process.env['HOLDFAST_TEST_DIR'] ?? '/var/tmp/holdfast-tests';

/** A new folder of one's own, which the caller removes. */
export async function makeTestFolder(prefix: string): Promise<string> {
  await mkdir(testFolder, { recursive: true, mode: 0o700 });
  return await mkdtemp(join(testFolder, prefix));
}

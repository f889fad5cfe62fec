import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';

/**
 * Paths of block devices that have a size and a node in /dev, partitions too. A virtual node’s /sys shows
 * all of the machine’s devices, but its /dev only its own.
 */
export async function blockDevices(sys = '/sys/class/block', dev = '/dev'): Promise<string[]> {
  const names = await readdir(sys);
  const found: string[] = [];
  for (const name of names.sort()) {
    const sectors = await readFile(join(sys, name, 'size'), 'utf8').catch(() => '0');
    if (Number(sectors) === 0) continue;
    // The kernel writes a slash in a name as '!'.
    const path = join(dev, name.replaceAll('!', '/'));
    const isBlock = await stat(path).then(
      (entry) => entry.isBlockDevice(),
      () => false,
    );
    if (isBlock) found.push(path);
  }
  return found;
}

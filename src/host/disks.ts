import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { withDeadline } from '../lib/deadline.ts';
import { mapLimit } from '../lib/map-limit.ts';
import { readBluestoreLabel } from './bluestore-label.ts';
import { isHeld } from './device-busy.ts';
import { describe, type DeviceContent, type Filesystems } from './filesystems.ts';
import { deviceNumbers } from './loops.ts';
import { mountsOfDevice, parseMountInfo, type MountEntry } from './mounts.ts';

/** Why a disk is left alone; the words of a CephCluster's status. */
export type DiskRefusalReason =
  | 'HasFilesystem'
  | 'HasPartitions'
  | 'Mounted'
  | 'OtherCluster'
  | 'ReadOnly'
  | 'Unreadable'
  | 'Unsupported';

export interface DiskRefusal {
  readonly reason: DiskRefusalReason;
  readonly message: string;
  /** FSID of the Ceph cluster whose OSD is on it. */
  readonly owner?: string;
}

/** A disk of this node with its verdict. Nothing was written to find it out. */
export interface HostDisk {
  /** Kernel name: sda, nvme0n1, loop3. */
  readonly name: string;
  /** /dev/sda first, then every link below /dev/disk that points to it. */
  readonly paths: readonly string[];
  readonly major: number;
  readonly minor: number;
  readonly sizeBytes: number;
  readonly rotational: boolean;
  /** Undefined where the disk is blank and free. */
  readonly refusal: DiskRefusal | undefined;
}

export interface DiskScanOptions {
  readonly filesystems: Filesystems;
  readonly dev?: string;
}

// Memory, optical drives and network block devices: no disks of this node.
const ignored = /^(ram|zram|sr|fd|nbd|rbd)\d/;
const supported = /^(sd|hd|vd|xvd|nvme|mmcblk|loop|pmem)/;
const blockClass = '/sys/class/block';
const atOnce = 4;
const labelLimitMs = 10_000;

/** Looks at every disk whose node is in /dev. A disk that hangs is `Unreadable` after its limit. */
export function hostDiskScan({
  filesystems,
  dev = '/dev',
}: DiskScanOptions): (signal: AbortSignal) => Promise<HostDisk[]> {
  return async (signal) => {
    const links = await readLinks(dev);
    const mounts = parseMountInfo(await readFile('/proc/self/mountinfo', 'utf8'));
    const swaps = await readFile('/proc/swaps', 'utf8').catch(() => '');
    const names = (await readdir(blockClass)).filter((name) => !ignored.test(name)).sort();
    const found = await mapLimit(names, atOnce, async (name) => {
      const disk = await readDisk(dev, name, links);
      if (!disk) return undefined;
      return { ...disk, refusal: await judge({ filesystems, mounts, swaps }, disk, signal) };
    });
    return found.filter((disk) => disk !== undefined);
  };
}

type Found = Omit<HostDisk, 'refusal'>;

/** major:minor -> the links below /dev/disk, by-id first. */
async function readLinks(dev: string): Promise<Map<string, string[]>> {
  const links = new Map<string, string[]>();
  const folders = await readdir(join(dev, 'disk')).catch(() => []);
  for (const folder of folders.sort((a, b) => Number(b === 'by-id') - Number(a === 'by-id')))
    for (const name of await readdir(join(dev, 'disk', folder)).catch(() => [])) {
      const path = join(dev, 'disk', folder, name);
      const target = await stat(path, { bigint: true }).catch(() => undefined);
      if (!target?.isBlockDevice()) continue;
      const key = keyOf(deviceNumbers(target.rdev));
      links.set(key, [...(links.get(key) ?? []), path]);
    }
  return links;
}

const keyOf = ({ major, minor }: { readonly major: number; readonly minor: number }) => `${major}:${minor}`;

async function readDisk(
  dev: string,
  name: string,
  links: ReadonlyMap<string, string[]>,
): Promise<Found | undefined> {
  const folder = join(blockClass, name);
  const sectors = Number((await readFile(join(folder, 'size'), 'utf8').catch(() => '0')).trim());
  const path = join(dev, name.replaceAll('!', '/')); // The kernel writes a slash in a name as '!'.
  const node = await stat(path, { bigint: true }).catch(() => undefined);
  if (sectors === 0 || !node?.isBlockDevice()) return undefined;
  const numbers = deviceNumbers(node.rdev);
  // A virtual node's /sys shows the whole machine; a node of the same name may be another device.
  if ((await readFile(join(folder, 'dev'), 'utf8')).trim() !== keyOf(numbers)) return undefined;
  const stable = links.get(keyOf(numbers)) ?? [];
  // A loop is a disk only where someone gave it a name that stays; others are images being attached.
  if (name.startsWith('loop') && !stable.some((link) => link.includes('/by-id/'))) return undefined;
  const rotational = await readFile(join(folder, 'queue/rotational'), 'utf8').catch(() =>
    readFile(join(folder, '../queue/rotational'), 'utf8').catch(() => '0'),
  );
  return {
    name,
    paths: [path, ...stable],
    ...numbers,
    sizeBytes: sectors * 512,
    rotational: rotational.trim() === '1',
  };
}

interface JudgeContext {
  readonly filesystems: Filesystems;
  readonly mounts: readonly MountEntry[];
  readonly swaps: string;
}

/** The first thing that stands against using a disk, cheapest and safest to look at first. */
async function judge(
  context: JudgeContext,
  disk: Found,
  signal: AbortSignal,
): Promise<DiskRefusal | undefined> {
  const [path = ''] = disk.paths;
  const folder = join(blockClass, disk.name);
  if (!supported.test(disk.name))
    return { reason: 'Unsupported', message: `${path} is no disk or partition` };
  if ((await readFile(join(folder, 'ro'), 'utf8')).trim() === '1')
    return { reason: 'ReadOnly', message: `${path} is read-only` };
  const parts = (await readdir(folder)).filter((name) => name.startsWith(disk.name));
  if (parts.length > 0)
    return { reason: 'HasPartitions', message: `it has the partitions ${parts.join(', ')}` };
  const holders = await readdir(join(folder, 'holders')).catch(() => []);
  if (holders.length > 0) return { reason: 'Mounted', message: `it is held by ${holders.join(', ')}` };
  const [mount] = mountsOfDevice(context.mounts, disk);
  if (mount) return { reason: 'Mounted', message: `it is mounted at ${mount.mountPoint}` };
  if (context.swaps.split('\n').some((line) => disk.paths.includes(line.split(/\s/)[0] ?? '')))
    return { reason: 'Mounted', message: 'it is swap space' };
  return await withDeadline(`look at ${path}`, labelLimitMs, signal, () => refuseHeld(path))
    .then(async (held) => held ?? (await judgeContent(path, await context.filesystems.probe(path, signal))))
    .catch((error: unknown): DiskRefusal => {
      signal.throwIfAborted();
      return { reason: 'Unreadable', message: error instanceof Error ? error.message : String(error) };
    });
}

async function refuseHeld(path: string): Promise<DiskRefusal | undefined> {
  if (!(await isHeld(path))) return undefined;
  const owner = await ownerOf(path).catch(() => undefined);
  return owner ?? { reason: 'Mounted', message: 'it is mounted elsewhere, or a process holds it' };
}

async function judgeContent(path: string, content: DeviceContent): Promise<DiskRefusal | undefined> {
  switch (content.kind) {
    case 'blank':
      return undefined;
    case 'unreadable':
      return { reason: 'Unreadable', message: describe(content) };
    case 'unknown-data':
      return { reason: 'HasFilesystem', message: describe(content) };
    case 'signature':
      if (content.type === 'ceph_bluestore') return (await ownerOf(path)) ?? osdOf(undefined, undefined);
      if (content.usage === 'partition table')
        return { reason: 'HasPartitions', message: `it has a partition table (${content.type})` };
      return { reason: 'HasFilesystem', message: describe(content) };
  }
}

async function ownerOf(path: string): Promise<DiskRefusal | undefined> {
  const label = await readBluestoreLabel(path);
  return label && osdOf(label.meta.get('ceph_fsid'), label.meta.get('whoami'));
}

const osdOf = (fsid: string | undefined, id: string | undefined): DiskRefusal => ({
  reason: 'OtherCluster',
  message: `it holds ${id === undefined ? 'an OSD' : `osd.${id}`} of the Ceph cluster ${fsid ?? 'with an unknown FSID'}`,
  ...(fsid === undefined ? {} : { owner: fsid }),
});

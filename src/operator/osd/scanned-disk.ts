/** A disk of this node as discovery found it, with its verdict as to whether an OSD may be made on it. */
export interface ScannedDisk {
  /** Kernel name: sda, nvme0n1, loop3. */
  readonly name: string;
  /** /dev/sda first, then every link below /dev/disk that points to it. */
  readonly paths: readonly string[];
  readonly sizeBytes: number;
  readonly rotational: boolean;
  /** Undefined where the disk is blank and free; else why it is left alone. */
  readonly refusal?:
    | { readonly reason: string; readonly message: string; readonly owner?: string }
    | undefined;
}

export type DiskScan = (signal: AbortSignal) => Promise<readonly ScannedDisk[]>;

/** The path that stays the same over reboots, where there is one. */
export const stablePath = (disk: ScannedDisk): string =>
  disk.paths.find((path) => path.startsWith('/dev/disk/by-id/')) ??
  disk.paths.find((path) => path.startsWith('/dev/disk/')) ??
  `/dev/${disk.name}`;

/** The CRUSH class of a disk. A loop says it is rotational, which is never worth slowing recovery for. */
export function deviceClassOf(disk: Pick<ScannedDisk, 'name' | 'rotational'>): string {
  if (disk.name.startsWith('nvme')) return 'nvme';
  if (disk.name.startsWith('loop')) return 'ssd';
  return disk.rotational ? 'hdd' : 'ssd';
}

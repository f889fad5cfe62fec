import type { PrepareConfig } from './report.ts';

/** A disk as the selection rules see it. */
export interface SelectableDisk {
  /** Kernel name: sda, nvme0n1, loop3. */
  readonly name: string;
  /** /dev/sda and every link below /dev/disk that points to it. */
  readonly paths: readonly string[];
}

/** What the spec says of a disk: taken (with its class, where one is said), or not meant at all. */
export type Selection =
  | { readonly taken: true; readonly deviceClass: string | undefined }
  | { readonly taken: false };

/** Listed devices go first, then filters, then useAllDevices, as with Rook. */
export function selectDisk(disk: SelectableDisk, rules: PrepareConfig['selection']): Selection {
  const listed = rules.devices.find((device) => disk.paths.includes(device.path));
  if (listed) return { taken: true, deviceClass: listed.deviceClass ?? rules.deviceClass };
  const taken = { taken: true, deviceClass: rules.deviceClass } as const;
  if (rules.deviceFilter) return new RegExp(rules.deviceFilter).test(disk.name) ? taken : { taken: false };
  if (rules.devicePathFilter) {
    const filter = new RegExp(rules.devicePathFilter);
    return disk.paths.some((path) => filter.test(path)) ? taken : { taken: false };
  }
  return rules.useAllDevices ? taken : { taken: false };
}

/** Devices that the spec names and that are not on this node. */
export const missingDevices = (
  disks: readonly SelectableDisk[],
  rules: PrepareConfig['selection'],
): string[] =>
  rules.devices
    .map((device) => device.path)
    .filter((path) => !disks.some((disk) => disk.paths.includes(path)));

import { constants } from 'node:fs';
import { open } from 'node:fs/promises';

/** The device is still held: by a mount, by a process, or by a pod whose mount we do not see. */
export class DeviceBusyError extends Error {
  readonly code = 'DEVICE_BUSY';
  readonly device: string;
  readonly holder: string;

  constructor(device: string, holder: string) {
    super(`${device} is in use by ${holder}`);
    this.name = 'DeviceBusyError';
    this.device = device;
    this.holder = holder;
  }
}

export const isDeviceBusy = (error: unknown): error is DeviceBusyError => error instanceof DeviceBusyError;

/**
 * Whether anybody holds the block device for themselves: a mount, also one in a namespace that we do not see, a
 * mapping, an OSD. Whoever opened it without O_EXCL is not seen.
 */
export async function isHeld(device: string): Promise<boolean> {
  try {
    const file = await open(device, constants.O_RDONLY | constants.O_EXCL);
    await file.close();
    return false;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EBUSY') throw error;
    return true;
  }
}

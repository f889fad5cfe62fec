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

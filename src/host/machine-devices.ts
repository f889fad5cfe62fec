import { mountAt, type Mounts } from './mounts.ts';

/**
 * Why a device that the kernel makes now would not show in `dev`, or undefined where it would. A node with a
 * device folder of its own (a virtual node of standalone) must not ask its machine's kernel for devices, nor
 * load modules into it.
 */
export async function foreignDevices(mounts: Mounts, dev: string): Promise<string | undefined> {
  const mounted = mountAt(await mounts.list(), dev);
  return mounted?.fsType === 'devtmpfs'
    ? undefined
    : `${dev} is not the machine's own, so no new device appears there`;
}

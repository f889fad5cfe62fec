import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { keyedLock } from '../lib/keyed-lock.ts';
import { isCommandError } from '../lib/run-command.ts';
import { rbdFeatureBits } from '../lib/rbd-features.ts';
import type { AttachedDevice, AttachRequest, ImageSpec, RbdAttacher } from './attacher.ts';
import { DeviceBusyError } from './device-busy.ts';
import { mountsOfDevice, type Mounts } from './mounts.ts';
import type { HostTools } from './tools.ts';

export interface KrbdDeps {
  readonly tools: HostTools;
  readonly mounts: Mounts;
  readonly sys?: string;
  /** Which cluster a device's FSID belongs to: clusterId by FSID. */
  readonly clusterOf: (fsid: string) => string | undefined;
}

/** The kernel's own RBD client, driven through /sys/bus/rbd as the `rbd` tool does. */
export function krbdAttacher({ tools, mounts, sys = '/sys', clusterOf }: KrbdDeps): RbdAttacher {
  const bus = join(sys, 'bus/rbd');
  const locks = keyedLock();
  const keyOf = (image: ImageSpec) =>
    JSON.stringify([image.clusterId, image.pool, image.namespace ?? '', image.image]);

  const list = async (): Promise<(AttachedDevice & { readonly id: string })[]> => {
    const ids = await readdir(join(bus, 'devices')).catch(() => []);
    return await Promise.all(
      ids.map(async (id) => {
        const field = async (name: string) =>
          (await readFile(join(bus, 'devices', id, name), 'utf8').catch(() => '')).trim();
        const namespace = await field('pool_ns');
        const fsid = await field('cluster_fsid');
        return {
          id,
          clusterId: clusterOf(fsid) ?? fsid,
          pool: await field('pool'),
          ...(namespace === '' ? {} : { namespace }),
          image: await field('name'),
          device: `/dev/rbd${id}`,
          major: Number(await field('major')),
          minor: Number(await field('minor')),
          alive: true, // The kernel has no daemon to lose.
        };
      }),
    );
  };
  const find = async (image: ImageSpec) => (await list()).find((device) => keyOf(device) === keyOf(image));

  return {
    name: 'krbd',
    async unusable(features) {
      const supported = await supportedFeatures(bus, tools);
      if (supported === undefined) return 'the kernel has no rbd module';
      const missing = features.filter((feature) => ((rbdFeatureBits([feature]) ?? 0n) & supported) === 0n);
      return missing.length > 0 ? `the kernel's rbd does not know ${missing.join(', ')}` : undefined;
    },
    attach: (request, signal) =>
      locks.run(keyOf(request), signal, async () => {
        const existing = await find(request);
        if (existing) return existing;
        // By sysfs, not by argument: the key stands in no command line. The kernel takes it out of its own listing.
        await writeFile(join(bus, 'add_single_major'), mapRequest(request));
        const made = await find(request);
        if (!made) throw new Error(`the kernel mapped ${request.image}, but does not list it`);
        return made;
      }),
    detach: (image, signal) =>
      locks.run(keyOf(image), signal, async () => {
        const device = await find(image);
        if (!device) return;
        const [mount] = mountsOfDevice(await mounts.list(), device);
        if (mount) throw new DeviceBusyError(device.device, `the mount at ${mount.mountPoint}`);
        try {
          await writeFile(join(bus, 'remove_single_major'), device.id);
        } catch (error) {
          if ((error as NodeJS.ErrnoException).code !== 'EBUSY') throw error;
          throw new DeviceBusyError(device.device, 'a process or a mount elsewhere');
        }
      }),
    async resize(image) {
      const device = await find(image);
      if (!device) throw new Error(`${image.image} is not attached`);
      // The kernel watches the image's header; a refresh only makes sure that it looked.
      await writeFile(join(bus, 'devices', device.id, 'refresh'), '1');
      return BigInt((await readFile(join(bus, 'devices', device.id, 'size'), 'utf8')).trim());
    },
    list,
  };
}

/** `<mons> name=<user>,secret=<key>[,options] <pool> <image> -`, the kernel's text for a mapping. */
export function mapRequest(request: AttachRequest): string {
  const options = [
    `name=${request.user.replace(/^client\./, '')}`,
    `secret=${request.key}`,
    ...(request.namespace ? [`_pool_ns=${request.namespace}`] : []),
    ...(request.readOnly ? ['read_only'] : []),
  ];
  return `${v1Addresses(request.monHost)} ${options.join(',')} ${request.pool} ${request.image} -`;
}

/** The kernel's client takes plain addresses; v1 is what every one of them speaks. */
function v1Addresses(monHost: string): string {
  const tagged = [...monHost.matchAll(/v1:([^,\]]+)/g)].map((match) => match[1]);
  return tagged.length > 0 ? tagged.join(',') : monHost.replaceAll(/[[\]]|v2:/g, '');
}

async function supportedFeatures(bus: string, tools: HostTools): Promise<bigint | undefined> {
  const read = async () => BigInt((await readFile(join(bus, 'supported_features'), 'utf8')).trim());
  try {
    return await read();
  } catch {
    try {
      await tools.run('modprobe', ['rbd'], { signal: AbortSignal.timeout(10_000), timeoutMs: 10_000 });
      return await read();
    } catch (error) {
      if (isCommandError(error) || error instanceof Error) return undefined;
      throw error;
    }
  }
}

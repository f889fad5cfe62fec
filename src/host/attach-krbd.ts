import { access, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { writeFileAtomic } from '../lib/atomic-file.ts';
import { cephxId } from '../lib/cephx-user.ts';
import { keyedLock } from '../lib/keyed-lock.ts';
import { rbdFeatureBits } from '../lib/rbd-features.ts';
import type { AttachedDevice, AttachRequest, ImageSpec, RbdAttacher } from './attacher.ts';
import { DeviceBusyError } from './device-busy.ts';
import { imageFileName, imageKey, ImageShape } from './image-key.ts';
import { foreignDevices } from './machine-devices.ts';
import { mountsOfDevice, type Mounts } from './mounts.ts';
import type { HostTools } from './tools.ts';

export interface KrbdDeps {
  readonly tools: HostTools;
  readonly mounts: Mounts;
  /** Mode 0700; one file an image, that outlives the process. No key is in it. */
  readonly stateDir: string;
  readonly sys?: string;
  readonly dev?: string;
}

/**
 * What was mapped here. The kernel lists pool and image of each device but not its cluster, and two clusters may
 * each have an image of one name: they are told apart by the monitors that the mapping was written with.
 */
const Mapping = ImageShape.extend({ monitors: z.string() });
type Mapping = z.infer<typeof Mapping>;

interface KrbdDevice extends AttachedDevice {
  /** Its number under /sys/bus/rbd/devices. */
  readonly id: string;
}

const mapTimeoutSeconds = 30;

/** The kernel's own RBD client, driven through /sys/bus/rbd as the `rbd` tool does. */
export function krbdAttacher(deps: KrbdDeps): RbdAttacher {
  const { mounts, sys = '/sys', dev = '/dev' } = deps;
  const bus = join(sys, 'bus/rbd');
  const locks = keyedLock();
  const find = async (image: ImageSpec) =>
    (await listMapped(deps)).find((device) => imageKey(device) === imageKey(image));
  const loadOnce = moduleLoader(deps.tools);

  return {
    name: 'krbd',
    async unusable(features) {
      const foreign = await foreignDevices(mounts, dev);
      if (foreign !== undefined) return foreign;
      const supported = (await readBits(bus)) ?? ((await loadOnce()) ? await readBits(bus) : undefined);
      if (supported === undefined) return 'the kernel has no rbd module';
      const missing = features.filter((feature) => ((rbdFeatureBits([feature]) ?? 0n) & supported) === 0n);
      return missing.length > 0 ? `the kernel's rbd does not know ${missing.join(', ')}` : undefined;
    },
    attach: (request, signal) =>
      locks.run(imageKey(request), signal, async () => {
        const existing = await find(request);
        if (existing) return deviceOf(existing);
        await map(deps, bus, request);
        const made = await find(request);
        if (!made) throw new Error(`the kernel mapped ${request.image}, but does not list it`);
        try {
          await access(join(dev, `rbd${made.id}`));
        } catch (cause) {
          await writeFile(join(bus, 'remove_single_major'), made.id);
          throw new Error(`${made.device} did not appear in ${dev}`, { cause });
        }
        return deviceOf(made);
      }),
    detach: (image, signal) =>
      locks.run(imageKey(image), signal, async () => {
        const device = await find(image);
        if (device) {
          const [mount] = mountsOfDevice(await mounts.list(), device);
          if (mount) throw new DeviceBusyError(device.device, `the mount at ${mount.mountPoint}`);
          try {
            await writeFile(join(bus, 'remove_single_major'), device.id);
          } catch (error) {
            if ((error as NodeJS.ErrnoException).code !== 'EBUSY') throw error;
            throw new DeviceBusyError(device.device, 'a process or a mount elsewhere');
          }
        }
        await rm(mappingFile(deps, image), { force: true });
      }),
    async resize(image) {
      const device = await find(image);
      if (!device) throw new Error(`${image.image} is not attached`);
      // The kernel watches the image's header; a refresh only makes sure that it looked.
      await writeFile(join(bus, 'devices', device.id, 'refresh'), '1');
      return BigInt((await readFile(join(bus, 'devices', device.id, 'size'), 'utf8')).trim());
    },
    holds: async (image) => (await find(image)) !== undefined,
    list: async () => (await listMapped(deps)).map(deviceOf),
  };
}

/** Notes the mapping, then asks the kernel for it: a device whose writer died in between would be nobody's. */
async function map(deps: KrbdDeps, bus: string, request: AttachRequest): Promise<void> {
  const { clusterId, pool, namespace, image } = request;
  const mapping: Mapping = {
    clusterId,
    pool,
    namespace,
    image,
    monitors: kernelAddresses(request.monHost).text,
  };
  await mkdir(deps.stateDir, { recursive: true, mode: 0o700 });
  await writeFileAtomic(mappingFile(deps, request), JSON.stringify(mapping));
  // By sysfs, not by argument: the key stands in no command line.
  try {
    await writeFile(join(bus, 'add_single_major'), mapRequest(request));
  } catch (error) {
    await rm(mappingFile(deps, request), { force: true });
    throw refusal(request, error);
  }
}

const mappingFile = ({ stateDir }: KrbdDeps, image: ImageSpec) =>
  join(stateDir, `${imageFileName(image)}.json`);

const deviceOf = ({ id: _id, ...device }: KrbdDevice): AttachedDevice => device;

/** The devices that were mapped here; those of others (an administrator's, another driver's) are not ours. */
async function listMapped(deps: KrbdDeps): Promise<KrbdDevice[]> {
  const devices = join(deps.sys ?? '/sys', 'bus/rbd/devices');
  const ids = await readdir(devices).catch(() => []);
  if (ids.length === 0) return [];
  const mappings = await readMappings(deps.stateDir);
  const found = await Promise.all(
    ids.map(async (id): Promise<KrbdDevice | undefined> => {
      const field = async (name: string) =>
        (await readFile(join(devices, id, name), 'utf8').catch(() => '')).trim();
      const [pool, namespace, image, snapshot] = await Promise.all(
        ['pool', 'pool_ns', 'name', 'current_snap'].map(field),
      );
      // What was written to map it; only its first word may leave this line, for the key is among the others.
      const monitors = (await field('config_info')).split(' ', 1)[0];
      const own = mappings.find(
        (one) =>
          one.pool === pool &&
          (one.namespace ?? '') === namespace &&
          one.image === image &&
          one.monitors === monitors,
      );
      if (!own || snapshot !== '-') return undefined;
      return {
        id,
        clusterId: own.clusterId,
        pool: own.pool,
        ...(own.namespace ? { namespace: own.namespace } : {}),
        image: own.image,
        device: `/dev/rbd${id}`,
        major: Number(await field('major')),
        minor: Number(await field('minor')),
        alive: true, // The kernel has no daemon to lose.
      };
    }),
  );
  return found.filter((device) => device !== undefined);
}

async function readMappings(stateDir: string): Promise<Mapping[]> {
  const names = await readdir(stateDir).catch(() => []);
  const texts = await Promise.all(
    names
      .filter((name) => name.endsWith('.json'))
      .map((name) => readFile(join(stateDir, name), 'utf8').catch(() => undefined)), // Detached meanwhile.
  );
  return texts.flatMap((text) => (text === undefined ? [] : [Mapping.parse(JSON.parse(text))]));
}

/** `<mons> name=<user>,secret=<key>[,options] <pool> <image> -`, the kernel's text for a mapping. */
export function mapRequest(request: AttachRequest): string {
  const { text, secondProtocol } = kernelAddresses(request.monHost);
  // The text is cut at spaces and commas: a name with one in it would be read as further options.
  for (const field of ['monHost', 'user', 'key', 'namespace', 'pool', 'image'] as const) {
    const isWord =
      field === 'pool' || field === 'image' || field === 'monHost' ? /^[^\s\0]+$/ : /^[^\s\0,]+$/;
    const value = request[field];
    if (value !== undefined && !isWord.test(value))
      throw new Error(`${field} has a character that the kernel's mapping cannot carry`);
  }
  const options = [
    `name=${cephxId(request.user)}`,
    `secret=${request.key}`,
    `mount_timeout=${mapTimeoutSeconds}`,
    ...(secondProtocol ? ['ms_mode=prefer-crc'] : []),
    ...(request.namespace ? [`_pool_ns=${request.namespace}`] : []),
    ...(request.readOnly ? ['read_only'] : []),
  ];
  return `${text} ${options.join(',')} ${request.pool} ${request.image} -`;
}

const secondProtocolPort = ':3300';

/**
 * The monitors as the kernel takes them: plain addresses of one protocol. The first protocol where any is
 * known to speak it, for every kernel does; the second only since 5.11, and only where it is told so.
 */
function kernelAddresses(monHost: string): { readonly text: string; readonly secondProtocol: boolean } {
  const tagged = [...monHost.matchAll(/v1:([^,\]]+)/g)].map((match) => match[1] ?? '');
  const plain = monHost
    .replaceAll(/[[\]]|v2:/g, '')
    .split(',')
    .filter((address) => address !== '');
  const first = tagged.length > 0 ? tagged : plain.filter((address) => !address.endsWith(secondProtocolPort));
  return first.length > 0
    ? { text: first.join(','), secondProtocol: false }
    : { text: plain.join(','), secondProtocol: true };
}

/** The kernel answers a bare errno; its own log has the words. The request, with the key in it, is not repeated. */
function refusal({ image }: AttachRequest, error: unknown): Error {
  const code = (error as NodeJS.ErrnoException).code;
  if (code === undefined) return error as Error; // Never reached the kernel.
  const why: Readonly<Record<string, string>> = {
    ENXIO: 'the image has features that it does not know',
    EINVAL: 'it does not take the mapping, as kernels before 5.11 with monitors on port 3300 only',
    ENOENT: 'there is no such pool or image',
    EACCES: 'the user may not use it',
    EPERM: 'the user may not use it',
    ETIMEDOUT: 'no monitor answered',
  };
  return new Error(`the kernel did not map ${image}: ${why[code] ?? 'see its log'} (${code})`);
}

const readBits = async (bus: string): Promise<bigint | undefined> => {
  const text = await readFile(join(bus, 'supported_features'), 'utf8').catch(() => undefined);
  return text === undefined ? undefined : BigInt(text.trim());
};

/** Asks for the module once in a process's life: an answer of no costs a process each time. */
function moduleLoader(tools: HostTools): () => Promise<boolean> {
  let loaded: Promise<boolean> | undefined;
  return () =>
    (loaded ??= tools
      .run('modprobe', ['rbd'], { signal: AbortSignal.timeout(10_000), timeoutMs: 10_000 })
      .then(() => true)
      .catch(() => false));
}

import { access, mkdir, readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { writeFileAtomic } from '../lib/atomic-file.ts';
import { isDeadlineError } from '../lib/deadline.ts';
import { keyedLock } from '../lib/keyed-lock.ts';
import { rbdFeatureBits } from '../lib/rbd-features.ts';
import type { AttachedDevice, AttachRequest, ImageSpec, RbdAttacher } from './attacher.ts';
import { DeviceBusyError } from './device-busy.ts';
import { imageFileName, imageKey, ImageShape } from './image-key.ts';
import { isKernelRefusal, kernelWrite } from './kernel-write.ts';
import { kernelAddresses, mapRefusal, mapRequest } from './krbd-request.ts';
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

// Below the mounter's limit for a call, and more than the kernel's own for a monitor: what lasts longer waits for OSDs.
const mapLimitMs = 45_000;
// A killed removal removes the device all the same, without giving up Ceph's exclusive lock: as after a crash.
const removeLimitMs = 30_000;
const refreshLimitMs = 30_000;

/** The kernel's own RBD client, driven through /sys/bus/rbd as the `rbd` tool does. */
export function krbdAttacher(deps: KrbdDeps): RbdAttacher {
  const { tools, mounts, sys = '/sys', dev = '/dev' } = deps;
  const bus = join(sys, 'bus/rbd');
  const locks = keyedLock();
  const find = async (image: ImageSpec) =>
    (await listMapped(deps)).find((device) => imageKey(device) === imageKey(image));
  // Never with `force`: it takes the device away under a mount, whose writes are lost.
  const remove = (id: string, signal: AbortSignal) =>
    kernelWrite(tools, join(bus, 'remove_single_major'), id, { signal, timeoutMs: removeLimitMs });
  const loadOnce = moduleLoader(tools);

  return {
    name: 'krbd',
    async unusable(features) {
      const foreign = await foreignDevices(mounts, dev);
      if (foreign !== undefined) return foreign;
      const supported = (await readBits(bus)) ?? ((await loadOnce()) ? await readBits(bus) : undefined);
      if (supported === undefined) return 'the kernel has no rbd module';
      if (!(await exists(join(bus, 'add_single_major'))))
        return 'its rbd module was loaded with single_major=N';
      const missing = features.filter((feature) => ((rbdFeatureBits([feature]) ?? 0n) & supported) === 0n);
      return missing.length > 0 ? `the kernel's rbd does not know ${missing.join(', ')}` : undefined;
    },
    attach: (request, signal) =>
      locks.run(imageKey(request), signal, async () => {
        const existing = await find(request);
        if (existing) return deviceOf(existing);
        await map(deps, bus, request, signal);
        const made = await find(request);
        if (!made) throw new Error(`the kernel mapped ${request.image}, but does not list it`);
        if (!(await exists(join(dev, `rbd${made.id}`)))) {
          await remove(made.id, signal);
          throw new Error(`${made.device} did not appear in ${dev}`);
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
            await remove(device.id, signal);
          } catch (error) {
            if (!isKernelRefusal(error) || error.code !== 'EBUSY') throw error;
            throw new DeviceBusyError(device.device, 'a process or a mount elsewhere');
          }
        }
        await rm(mappingFile(deps, image), { force: true });
      }),
    async resize(image, _sizeBytes, signal) {
      const device = await find(image);
      if (!device) throw new Error(`${image.image} is not attached`);
      // The kernel watches the image's header; a refresh only makes sure that it looked.
      const refresh = join(bus, 'devices', device.id, 'refresh');
      await kernelWrite(tools, refresh, '1', { signal, timeoutMs: refreshLimitMs });
      return BigInt((await readFile(join(bus, 'devices', device.id, 'size'), 'utf8')).trim());
    },
    holds: async (image) => (await find(image)) !== undefined,
    list: async () => (await listMapped(deps)).map(deviceOf),
  };
}

/**
 * Notes the mapping, then asks the kernel for it: a device whose writer died in between would be nobody's. The note
 * stays where the kernel gave no answer.
 */
async function map(deps: KrbdDeps, bus: string, request: AttachRequest, signal: AbortSignal): Promise<void> {
  const { clusterId, pool, namespace, image } = request;
  const text = mapRequest(request);
  const monitors = kernelAddresses(request.monHost).text;
  const mapping: Mapping = { clusterId, pool, namespace, image, monitors };
  await mkdir(deps.stateDir, { recursive: true, mode: 0o700 });
  await writeFileAtomic(mappingFile(deps, request), JSON.stringify(mapping));
  try {
    await kernelWrite(deps.tools, join(bus, 'add_single_major'), text, { signal, timeoutMs: mapLimitMs });
  } catch (error) {
    if (isDeadlineError(error))
      throw new Error(
        `the kernel did not map ${image} within ${mapLimitMs / 1000} s: an OSD or a monitor does not answer`,
        { cause: error },
      );
    const refusal = mapRefusal(request, error);
    if (!refusal) throw error;
    await rm(mappingFile(deps, request), { force: true });
    throw refusal;
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

const exists = (path: string) =>
  access(path).then(
    () => true,
    () => false,
  );

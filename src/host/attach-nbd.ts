import { mkdir, readdir, readFile, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { writeFileAtomic } from '../lib/atomic-file.ts';
import { cephxEntity, cephxId } from '../lib/cephx-user.ts';
import { keyedLock } from '../lib/keyed-lock.ts';
import type { AttachedDevice, AttachRequest, ImageSpec, RbdAttacher } from './attacher.ts';
import { DeviceBusyError, isHeld } from './device-busy.ts';
import { imageFileName, ImageShape } from './image-key.ts';
import { foreignDevices } from './machine-devices.ts';
import { blockSize, deviceNumbers } from './loops.ts';
import { mountsOfDevice, type Mounts } from './mounts.ts';
import type { HostTools } from './tools.ts';
import { isCommandError } from '../lib/run-command.ts';
import { pathExists } from '../lib/path-exists.ts';

export interface NbdDeps {
  readonly tools: HostTools;
  readonly mounts: Mounts;
  /** Mode 0700; one folder an image, with its conf and keyring. */
  readonly stateDir: string;
  readonly sys?: string;
  readonly proc?: string;
  readonly dev?: string;
}

const Mapped = z.array(z.object({ id: z.coerce.number(), device: z.string() }));
const mapLimitMs = 30_000;

/** librbd behind the kernel's NBD, by the rbd-nbd tool. */
export function nbdAttacher(deps: NbdDeps): RbdAttacher {
  const { tools, mounts, sys = '/sys', dev = '/dev' } = deps;
  const locks = keyedLock();
  const lockOf = (image: ImageSpec) => filesOf(deps, image).dir;
  const find = async (image: ImageSpec, signal: AbortSignal) =>
    (await list(deps, signal)).find((device) => lockOf(device) === lockOf(image));
  return {
    name: 'rbd-nbd',
    async unusable() {
      if (!(await pathExists(tools.path('rbd-nbd')))) return `${tools.path('rbd-nbd')} is missing`;
      const foreign = await foreignDevices(mounts, dev);
      if (foreign !== undefined) return foreign;
      if (await pathExists(join(sys, 'block/nbd0'))) return undefined;
      const limit = { signal: AbortSignal.timeout(10_000), timeoutMs: 10_000 };
      await tools.run('modprobe', ['nbd'], limit).catch(() => undefined);
      return (await pathExists(join(sys, 'block/nbd0'))) ? undefined : 'the kernel has no nbd module';
    },
    attach: (request, signal) =>
      locks.run(lockOf(request), signal, async () => {
        const existing = await find(request, signal);
        if (existing) return existing;
        await map(deps, request, signal);
        const made = await find(request, signal);
        if (!made) throw new Error(`rbd-nbd mapped ${request.image}, but does not list it`);
        return made;
      }),
    detach: (image, signal) =>
      locks.run(lockOf(image), signal, async () => {
        const device = await find(image, signal);
        if (device) {
          const [mount] = mountsOfDevice(await mounts.list(), device);
          if (mount) throw new DeviceBusyError(device.device, `the mount at ${mount.mountPoint}`);
          // rbd-nbd takes the device away under a mount elsewhere, whose writes are then lost.
          if (await isHeld(device.device))
            throw new DeviceBusyError(device.device, 'a process or a mount elsewhere');
          await tools.run('rbd-nbd', ['unmap', device.device], { signal, timeoutMs: mapLimitMs });
        }
        await rm(filesOf(deps, image).dir, { recursive: true, force: true });
      }),
    async resize(image, _sizeBytes, signal) {
      const device = await find(image, signal);
      if (!device) throw new Error(`${image.image} is not attached`);
      return await blockSize(device.device, sys); // rbd-nbd watches the image and tells the kernel by itself.
    },
    holds: async (image, signal) => (await find(image, signal)) !== undefined,
    list: (signal) => list(deps, signal),
  };
}

function filesOf({ stateDir }: NbdDeps, image: ImageSpec) {
  const dir = join(stateDir, imageFileName(image));
  return {
    dir,
    conf: join(dir, 'ceph.conf'),
    keyring: join(dir, 'keyring'),
    image: join(dir, 'image.json'),
  };
}

async function writeFiles(deps: NbdDeps, request: AttachRequest): Promise<void> {
  const files = filesOf(deps, request);
  const { clusterId, pool, namespace, image } = request;
  await mkdir(files.dir, { recursive: true, mode: 0o700 });
  await writeFileAtomic(files.image, JSON.stringify({ clusterId, pool, namespace, image }));
  await writeFileAtomic(files.keyring, `[${cephxEntity(request.user)}]\n\tkey = ${request.key}\n`);
  const conf = [
    '[global]',
    `mon_host = ${request.monHost}`,
    `keyring = ${files.keyring}`,
    'admin_socket =',
    'log_file =',
    'rbd_cache = false',
  ];
  await writeFileAtomic(files.conf, `${conf.join('\n')}\n`);
}

async function map(deps: NbdDeps, request: AttachRequest, signal: AbortSignal): Promise<void> {
  await writeFiles(deps, request);
  try {
    await deps.tools.run('rbd-nbd', mapArguments(deps, request), { signal, timeoutMs: mapLimitMs });
  } catch (error) {
    // Refused, it leaves no key behind. Cut off, its daemon may still come, and is known by these files.
    if (isCommandError(error)) await rm(filesOf(deps, request).dir, { recursive: true, force: true });
    throw error;
  }
}

function mapArguments(deps: NbdDeps, request: AttachRequest): string[] {
  const place = [request.pool, ...(request.namespace ? [request.namespace] : []), request.image];
  return [
    'map',
    '--conf',
    filesOf(deps, request).conf,
    '--id',
    cephxId(request.user),
    ...(request.readOnly ? ['--read-only'] : []),
    place.join('/'),
  ];
}

/**
 * Devices whose daemon was started with a conf of ours. rbd-nbd names pool and image, but not the cluster: two
 * clusters may each have an image of one name.
 */
async function list(deps: NbdDeps, signal: AbortSignal): Promise<AttachedDevice[]> {
  const { tools, stateDir, proc = '/proc' } = deps;
  if (!(await pathExists(tools.path('rbd-nbd')))) return []; // Without the tool nothing was ever mapped by it.
  const { stdout } = await tools.run('rbd-nbd', ['list-mapped', '--format', 'json'], { signal });
  const mapped = stdout.trim() === '' ? [] : Mapped.parse(JSON.parse(stdout));
  const devices: AttachedDevice[] = [];
  for (const name of await readdir(stateDir).catch(() => [])) {
    const text = await readFile(join(stateDir, name, 'image.json'), 'utf8').catch(() => undefined);
    if (text === undefined) continue;
    const { namespace, ...image } = ImageShape.parse(JSON.parse(text));
    for (const { id, device } of mapped) {
      const args = (await readFile(`${proc}/${id}/cmdline`, 'utf8').catch(() => '')).split('\0');
      if (!args.includes(join(stateDir, name, 'ceph.conf'))) continue;
      const numbers = deviceNumbers((await stat(device, { bigint: true })).rdev);
      // list-mapped names only those whose daemon lives.
      devices.push({ ...image, ...(namespace ? { namespace } : {}), device, ...numbers, alive: true });
    }
  }
  return devices;
}

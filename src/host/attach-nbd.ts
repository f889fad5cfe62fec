import { access, mkdir, rm, stat } from 'node:fs/promises';
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { z } from 'zod';
import { writeFileAtomic } from '../lib/atomic-file.ts';
import { keyedLock } from '../lib/keyed-lock.ts';
import type { AttachedDevice, AttachRequest, ImageSpec, RbdAttacher } from './attacher.ts';
import { DeviceBusyError } from './device-busy.ts';
import { blockSize, deviceNumbers } from './loops.ts';
import { mountsOfDevice, type Mounts } from './mounts.ts';
import type { HostTools } from './tools.ts';

export interface NbdDeps {
  readonly tools: HostTools;
  readonly mounts: Mounts;
  /** Mode 0700; one folder an image with its conf and keyring. */
  readonly stateDir: string;
  readonly sys?: string;
}

const Mapped = z.array(
  z.object({
    pool: z.string(),
    namespace: z.string().default(''),
    image: z.string(),
    device: z.string(),
  }),
);
const mapLimitMs = 30_000;

/** librbd behind the kernel's NBD, by the rbd-nbd tool. */
export function nbdAttacher({ tools, mounts, stateDir, sys = '/sys' }: NbdDeps): RbdAttacher {
  const locks = keyedLock();
  const identity = (image: ImageSpec) =>
    createHash('sha256')
      .update(JSON.stringify([image.clusterId, image.pool, image.namespace ?? '', image.image]))
      .digest('hex')
      .slice(0, 20);
  const filesOf = (image: ImageSpec) => {
    const dir = join(stateDir, identity(image));
    return { dir, conf: join(dir, 'ceph.conf'), keyring: join(dir, 'keyring') };
  };

  const list = async (signal: AbortSignal): Promise<AttachedDevice[]> => {
    const { stdout } = await tools.run('rbd-nbd', ['list-mapped', '--format', 'json'], { signal });
    const entries = stdout.trim() === '' ? [] : Mapped.parse(JSON.parse(stdout));
    return await Promise.all(
      entries.map(async ({ pool, namespace, image, device }) => ({
        clusterId: '',
        pool,
        ...(namespace === '' ? {} : { namespace }),
        image,
        device,
        ...deviceNumbers((await stat(device, { bigint: true })).rdev),
        alive: true, // list-mapped names only those whose daemon lives.
      })),
    );
  };
  const exists = (path: string) =>
    access(path).then(
      () => true,
      () => false,
    );
  // rbd-nbd does not say which cluster a device belongs to; the private folder of the image does.
  const find = async (image: ImageSpec, signal: AbortSignal): Promise<AttachedDevice | undefined> => {
    if (!(await exists(filesOf(image).conf))) return undefined;
    const found = (await list(signal)).find(
      (device) =>
        device.pool === image.pool &&
        (device.namespace ?? '') === (image.namespace ?? '') &&
        device.image === image.image,
    );
    return found && { ...found, clusterId: image.clusterId };
  };

  return {
    name: 'rbd-nbd',
    async unusable() {
      if (!(await exists(tools.path('rbd-nbd')))) return `${tools.path('rbd-nbd')} is missing`;
      if (await exists(join(sys, 'block/nbd0'))) return undefined;
      const limit = { signal: AbortSignal.timeout(10_000), timeoutMs: 10_000 };
      await tools.run('modprobe', ['nbd'], limit).catch(() => undefined);
      return (await exists(join(sys, 'block/nbd0'))) ? undefined : 'the kernel has no nbd module';
    },
    attach: (request, signal) =>
      locks.run(identity(request), signal, async () => {
        const existing = await find(request, signal);
        if (existing) return existing;
        const { dir, conf, keyring } = filesOf(request);
        await mkdir(dir, { recursive: true, mode: 0o700 });
        await writeFileAtomic(keyring, `[client.${plainUser(request)}]\n\tkey = ${request.key}\n`, 0o600);
        await writeFileAtomic(
          conf,
          `[global]\nmon_host = ${request.monHost}\nkeyring = ${keyring}\nadmin_socket =\nlog_file =\nrbd_cache = false\n`,
          0o600,
        );
        const place = [request.pool, ...(request.namespace ? [request.namespace] : []), request.image].join(
          '/',
        );
        const args = [
          'map',
          '--conf',
          conf,
          '--id',
          plainUser(request),
          ...(request.readOnly ? ['--read-only'] : []),
          place,
        ];
        await tools.run('rbd-nbd', args, { signal, timeoutMs: mapLimitMs });
        const made = await find(request, signal);
        if (!made) throw new Error(`rbd-nbd mapped ${request.image}, but does not list it`);
        return made;
      }),
    detach: (image, signal) =>
      locks.run(identity(image), signal, async () => {
        const device = await find(image, signal);
        if (device) {
          const [mount] = mountsOfDevice(await mounts.list(), device);
          if (mount) throw new DeviceBusyError(device.device, `the mount at ${mount.mountPoint}`);
          await tools.run('rbd-nbd', ['unmap', device.device], { signal, timeoutMs: mapLimitMs });
        }
        await rm(filesOf(image).dir, { recursive: true, force: true });
      }),
    async resize(image, _sizeBytes, signal) {
      const device = await find(image, signal);
      if (!device) throw new Error(`${image.image} is not attached`);
      return await blockSize(device.device, sys); // rbd-nbd watches the image and tells the kernel by itself.
    },
    list,
  };
}

const plainUser = (request: AttachRequest) => request.user.replace(/^client\./, '');

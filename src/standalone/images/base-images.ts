import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { makeOciArchive, type ImageConfig, type OciArchive } from './oci-archive.ts';
import type { ImageEntry } from './table.ts';
import type { TarEntry } from './tar.ts';

const directory = (path: string, mode = 0o755): TarEntry => ({ type: 'directory', path, mode });
const link = (path: string, target: string): TarEntry => ({ type: 'link', path, target });

const searchPath = 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** What of the node's own root makes a skeleton whole, read-only: the tree, and nothing of the host. */
export const treeMounts: ImageEntry['mounts'] = [
  '/usr',
  '/etc/ssl',
  '/etc/ld.so.cache',
  '/etc/passwd',
  '/etc/group',
  '/etc/nsswitch.conf',
].map((path) => ({ hostPath: path, containerPath: path }));

/** Folders and links of a merged-usr Debian; all programs come by the mount of /usr. */
const skeleton: readonly TarEntry[] = [
  ...['etc', 'usr', 'dev', 'proc', 'sys', 'run', 'mnt', 'opt', 'home', 'srv', 'var'].map((path) =>
    directory(path),
  ),
  ...[
    'var/lib',
    'var/log',
    'var/cache',
    'etc/ssl',
    'etc/ceph',
    'var/lib/ceph',
    'var/log/ceph',
    'run/ceph',
    'var/lib/rook',
  ].map((path) => directory(path)),
  directory('root', 0o700),
  directory('tmp', 0o1777),
  directory('var/tmp', 0o1777),
  ...['bin', 'sbin', 'lib', 'lib64'].map((name) => link(name, `usr/${name}`)),
  link('var/run', '/run'),
  link('etc/mtab', '/proc/mounts'),
];

/** A kind of image that the tree stands for. */
export interface BaseImage {
  /** Its own name in containerd. */
  readonly image: string;
  readonly archive: OciArchive;
  readonly config: ImageConfig;
  readonly mounts: ImageEntry['mounts'];
}

const based = (
  image: string,
  config: ImageConfig,
  extra: readonly TarEntry[] = [],
  mounts: ImageEntry['mounts'] = [],
): BaseImage => ({
  image,
  archive: makeOciArchive(image, [...skeleton, ...extra], config),
  config,
  mounts: [...treeMounts, ...mounts],
});

/** Debian with everything of the tree: also what stands for Ceph's image. */
export const debianImage = (): BaseImage =>
  based('localhost/debian:1', { env: [searchPath], entrypoint: [], cmd: ['bash'] });

/** The same, with busybox' applets behind the tree's own programs. */
export function busyboxImage(applets: readonly string[]): BaseImage {
  const links = applets.map((name) => link(`opt/busybox/bin/${name}`, '/usr/bin/busybox'));
  const config = { env: [`${searchPath}:/opt/busybox/bin`], entrypoint: [], cmd: ['sh'] };
  return based('localhost/busybox:1', config, [
    directory('opt/busybox'),
    directory('opt/busybox/bin'),
    ...links,
  ]);
}

/** One release of Holdfast: the skeleton, the tree, and the release's folder. */
export function releaseImage(hash: string): BaseImage {
  const config = {
    env: [searchPath],
    // These processes idle most of the time; without a limit V8 keeps 48 MiB for the garbage of a burst.
    entrypoint: ['/opt/holdfast/node', '--max-semi-space-size=2', '/opt/holdfast/holdfast.mjs'],
    cmd: [],
  };
  const mounts = [{ hostPath: `/opt/holdfast/releases/${hash}`, containerPath: '/opt/holdfast' }];
  return based(`localhost/holdfast:${hash}`, config, [directory('opt/holdfast')], mounts);
}

/** The pod sandbox's image: one static program. A sandbox gets no mounts, so this one has a layer of its own. */
export async function pauseImage(tree: string): Promise<BaseImage> {
  const content = await readFile(join(tree, 'usr/bin/catatonit'));
  const config = { env: [searchPath], entrypoint: ['/pause', '-P'], cmd: [] };
  const archive = makeOciArchive(
    'localhost/pause:1',
    [{ type: 'file', path: 'pause', mode: 0o755, content }],
    config,
  );
  return { image: 'localhost/pause:1', archive, config, mounts: [] };
}

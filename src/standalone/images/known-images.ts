import { busyboxImage, debianImage, releaseImage, type BaseImage } from './base-images.ts';
import { normalizeImageName } from './image-name.ts';
import type { ImageRule } from './image-table.ts';

// The explicit table of DESIGN: which names the tree stands for. Any other name needs a registry.
const debianTags = ['latest', '12', '12-slim', 'bookworm', 'bookworm-slim', 'stable', 'stable-slim'];
const busyboxTags = [
  'latest',
  'stable',
  '1',
  '1.35',
  '1.35.0',
  '1.36',
  '1.36.1',
  '1.37',
  '1.37.0',
  'glibc',
  'musl',
  'uclibc',
];
const cephRepositories = ['quay.io/ceph/ceph', 'docker.io/ceph/ceph'];
// By its short name, and by the one that manifests for other clusters give.
const ownRepositories = ['holdfast', 'ghcr.io/holdfast/holdfast'];
// Rook's operator, of whichever version: its manifests run ours, which takes its words and resources.
const rookOperator = 'rook/ceph:*';

/** `16.2.15+ds-0+deb12u2` -> `v16.2.15`, `v16.2`, `v16`. */
export function cephTags(packageVersion: string): string[] {
  const [major, minor, patch] = (/^(\d+)\.(\d+)\.(\d+)/.exec(packageVersion) ?? []).slice(1);
  return major === undefined ? [] : [`v${major}.${minor}.${patch}`, `v${major}.${minor}`, `v${major}`];
}

export interface KnownImages {
  readonly rules: readonly ImageRule[];
  /** What has to be in containerd. */
  readonly bases: readonly BaseImage[];
  /** Names that follow each build: the tag `latest` of our own image, and Rook's operator. */
  readonly replaced: ReadonlySet<string>;
  /** The release's own name, for manifests. */
  readonly release: string;
}

export interface ImageFacts {
  /** Version of the tree's Ceph packages. */
  readonly cephVersion: string;
  readonly releaseHash: string;
  readonly busyboxApplets: readonly string[];
}

export function knownImages({ cephVersion, releaseHash, busyboxApplets }: ImageFacts): KnownImages {
  const debian = debianImage();
  const busybox = busyboxImage(busyboxApplets);
  const own = releaseImage(releaseHash);
  const rule = (base: BaseImage) => (name: string) => ({ name: normalizeImageName(name), base });
  return {
    rules: [
      ...debianTags.map((tag) => `debian:${tag}`).map(rule(debian)),
      ...busyboxTags.map((tag) => `busybox:${tag}`).map(rule(busybox)),
      ...cephRepositories
        .flatMap((name) => cephTags(cephVersion).map((tag) => `${name}:${tag}`))
        .map(rule(debian)),
      ...ownRepositories.flatMap((name) => [`${name}:latest`, `${name}:${releaseHash}`]).map(rule(own)),
      rule(own)(rookOperator),
    ],
    bases: [debian, busybox, own],
    replaced: new Set(
      [...ownRepositories.map((name) => `${name}:latest`), rookOperator].map(normalizeImageName),
    ),
    release: `holdfast:${releaseHash}`,
  };
}

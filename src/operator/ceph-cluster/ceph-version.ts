import { parseCephVersion, type CephVersion, type DaemonVersions } from '../../ceph/versions.ts';

export const supportedVersions = '16 (Pacific) to 20 (Tentacle)';
export const isVersionSupported = (version: Pick<CephVersion, 'major'>): boolean =>
  version.major >= 16 && version.major <= 20;

/**
 * The version that an image's tag says, or undefined. quay.io/ceph/ceph tags are the version itself, so
 * no pod has to be started to ask; what the daemons then report is checked against it.
 */
export function versionInImageName(image: string): CephVersion | undefined {
  const tag = /:v?(\d+)\.(\d+)\.(\d+)(?:-\d+)?$/.exec(image);
  if (!tag) return undefined;
  return { major: Number(tag[1]), minor: Number(tag[2]), patch: Number(tag[3]), release: undefined };
}

/** As Rook writes it in status: `16.2.15-0`. */
export const formatVersion = (version: CephVersion): string =>
  `${version.major}.${version.minor}.${version.patch}-0`;

/** What the mons say they run: the answer where the image’s tag is no version, and no pod is started to ask. */
export function runningVersion(versions: DaemonVersions): CephVersion | undefined {
  const [text] = Object.keys(versions['mon'] ?? {});
  return text === undefined ? undefined : parseCephVersion(text);
}

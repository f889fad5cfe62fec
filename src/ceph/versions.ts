import { z } from 'zod';
import type { Ceph } from './seam.ts';

export interface CephVersion {
  readonly major: number;
  readonly minor: number;
  readonly patch: number;
  /** `pacific`, undefined where the text has none. */
  readonly release: string | undefined;
}

/** Reads `ceph version 16.2.15 (618f...) pacific (stable)`; undefined for any other text. */
export function parseCephVersion(text: string): CephVersion | undefined {
  const match = /ceph version (\d+)\.(\d+)\.(\d+)\S*(?: \([0-9a-f]+\))?(?: (\w+))?/.exec(text);
  if (!match) return undefined;
  return { major: Number(match[1]), minor: Number(match[2]), patch: Number(match[3]), release: match[4] };
}

export const formatCephVersion = ({ major, minor, patch }: CephVersion): string =>
  `${major}.${minor}.${patch}`;

/** -1, 0 or 1, as a sort wants it. */
export const compareCephVersions = (a: CephVersion, b: CephVersion): number =>
  Math.sign(a.major - b.major || a.minor - b.minor || a.patch - b.patch);

/** Daemon type (`mon`, `mgr`, `osd`, `mds`, `rgw`, `overall`) -> version text -> how many run it. */
export type DaemonVersions = Readonly<Record<string, Readonly<Record<string, number>>>>;

export const readVersions = (ceph: Ceph, signal: AbortSignal): Promise<DaemonVersions> =>
  ceph.mon({ prefix: 'versions' }, z.record(z.string(), z.record(z.string(), z.int())), { signal });

import { z } from 'zod';
import type { ConfigMap } from 'kubernetes-types/core/v1.js';

/**
 * What the prepare pod of a node and the operator tell each other, in the ConfigMap
 * `rook-ceph-osd-<node>-status`. The pod writes `report`, the operator `assignments`; neither touches
 * the other’s key, and neither holds a secret.
 */
export const DiskReport = z.looseObject({
  /** Stable path where there is one. */
  device: z.string(),
  verdict: z.enum(['InUse', 'Available', 'Preparing', 'Skipped', 'Failed']),
  reason: z.string(),
  message: z.string().optional(),
  sizeBytes: z.number().optional(),
  /** FSID of the cluster whose data is on it. */
  owner: z.string().optional(),
  /** The OSD’s own fsid, where the disk is or becomes one of ours. */
  osdUuid: z.string().optional(),
  osdId: z.int().optional(),
  deviceClass: z.string().optional(),
});
export type DiskReport = z.infer<typeof DiskReport>;

export const NodeReport = z.looseObject({
  node: z.string(),
  /** Which run of the job wrote it. */
  run: z.string(),
  phase: z.enum(['Discovering', 'Preparing', 'Completed', 'Failed']),
  message: z.string().optional(),
  disks: z.array(DiskReport),
  /** Folders below dataDirHostPath that hold a mon of another cluster: `mon-a`. */
  foreignMons: z.array(z.string()).optional(),
});
export type NodeReport = z.infer<typeof NodeReport>;

/** OSD fsid to OSD number. */
export const Assignments = z.record(z.string(), z.int());
export type Assignments = z.infer<typeof Assignments>;

/** Read by the prepare pod from a file: the slots hold keys, so it comes from a Secret. */
export const PrepareConfig = z.looseObject({
  node: z.string(),
  namespace: z.string(),
  statusConfigMap: z.string(),
  run: z.string(),
  fsid: z.string(),
  /** The mons’ own key, to tell their stores from those of another cluster. */
  monKey: z.string().optional(),
  /** `16.2.15`: what the pod's ceph-osd must be; not looked at where left out. */
  cephVersion: z.string().optional(),
  /** Of each disk, in seconds. */
  diskTimeoutSeconds: z.int(),
  selection: z.looseObject({
    useAllDevices: z.boolean(),
    deviceFilter: z.string().optional(),
    devicePathFilter: z.string().optional(),
    devices: z.array(z.looseObject({ path: z.string(), deviceClass: z.string().optional() })),
    deviceClass: z.string().optional(),
  }),
  /** Identities for new OSDs, used from the first on. */
  slots: z.array(z.object({ uuid: z.string(), key: z.string() })),
});
export type PrepareConfig = z.infer<typeof PrepareConfig>;

const parsed = <T>(shape: z.ZodType<T>, text: string | undefined): T | undefined => {
  if (!text) return undefined;
  try {
    return shape.safeParse(JSON.parse(text)).data;
  } catch {
    return undefined;
  }
};

/** The pod’s report, or undefined where there is none that can be read. */
export const readReport = (map: ConfigMap | undefined): NodeReport | undefined =>
  parsed(NodeReport, map?.data?.['report']);
export const readAssignments = (map: ConfigMap | undefined): Assignments =>
  parsed(Assignments, map?.data?.['assignments']) ?? {};

export const statusMapName = (node: string): string => shortName('rook-ceph-osd-', node, '-status');
export const prepareJobName = (node: string): string => shortName('rook-ceph-osd-prepare-', node, '');

/** Names of objects and pods have limits; a long node name is cut and told apart by a hash of the whole. */
function shortName(prefix: string, node: string, suffix: string): string {
  const full = `${prefix}${node}${suffix}`;
  if (full.length <= 63) return full;
  let hash = 5381;
  for (const letter of node) hash = ((hash * 33) ^ (letter.codePointAt(0) ?? 0)) >>> 0;
  const tail = hash.toString(16).padStart(8, '0');
  return `${prefix}${node.slice(0, 63 - prefix.length - suffix.length - 9).replace(/[.-]+$/, '')}-${tail}${suffix}`;
}

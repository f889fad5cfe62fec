import { z } from 'zod';
import { isCephError } from './errors.ts';
import type { Ceph } from './seam.ts';

export interface Osd {
  readonly id: number;
  /** The OSD's own fsid: what finds it again, whatever its device is called. */
  readonly uuid: string;
  readonly up: boolean;
  readonly in: boolean;
  /** True until its daemon came up for the first time. */
  readonly isNew: boolean;
}

const DumpAnswer = z.object({
  epoch: z.int(),
  flags_set: z.array(z.string()),
  require_osd_release: z.string(),
  osds: z.array(
    z.object({
      osd: z.int(),
      uuid: z.string(),
      up: z.int(),
      in: z.int(),
      state: z.array(z.string()),
    }),
  ),
});

export interface OsdMap {
  readonly epoch: number;
  readonly flags: readonly string[];
  /** `pacific` */
  readonly requiredRelease: string;
  readonly osds: readonly Osd[];
}

export async function readOsdMap(ceph: Ceph, signal: AbortSignal): Promise<OsdMap> {
  const answer = await ceph.mon({ prefix: 'osd dump' }, DumpAnswer, { signal });
  return {
    epoch: answer.epoch,
    flags: answer.flags_set,
    requiredRelease: answer.require_osd_release,
    osds: answer.osds.map((osd) => ({
      id: osd.osd,
      uuid: osd.uuid,
      up: osd.up === 1,
      in: osd.in === 1,
      isNew: osd.state.includes('new'),
    })),
  };
}

/**
 * `osd new`: an id for an OSD's fsid, and its key in the auth database (by input). The same uuid gives the same
 * id again; EEXIST where the uuid, the wanted id or the key belongs to another OSD.
 */
export async function registerOsd(
  ceph: Ceph,
  osd: { readonly uuid: string; readonly key: string; readonly id?: number },
  signal: AbortSignal,
): Promise<number> {
  const answer = await ceph.mon(
    { prefix: 'osd new', uuid: osd.uuid, ...(osd.id === undefined ? {} : { id: osd.id }) },
    z.object({ osdid: z.int() }),
    { signal, input: JSON.stringify({ cephx_secret: osd.key }) },
  );
  return answer.osdid;
}

export interface OsdUsage {
  readonly id: number;
  readonly host: string | undefined;
  readonly deviceClass: string | undefined;
  readonly up: boolean;
  /** 0 where it is out. */
  readonly reweight: number;
  readonly crushWeight: number;
  readonly bytes: number;
  readonly usedBytes: number;
  readonly availableBytes: number;
  readonly pgs: number;
}

const DfAnswer = z.object({
  nodes: z.array(
    z.object({
      id: z.int(),
      device_class: z.string().optional(),
      crush_weight: z.number(),
      reweight: z.number(),
      kb: z.number(),
      kb_used: z.number(),
      kb_avail: z.number(),
      pgs: z.int(),
      status: z.string(),
    }),
  ),
});

/** Usage of each OSD, and the host that holds it in CRUSH. Needs a mgr. */
export async function readOsdUsage(ceph: Ceph, signal: AbortSignal): Promise<readonly OsdUsage[]> {
  const [df, tree] = await Promise.all([
    ceph.mgr({ prefix: 'osd df' }, DfAnswer, { signal }),
    readOsdTree(ceph, signal),
  ]);
  const hostOf = new Map(
    tree.filter((node) => node.type === 'host').flatMap((node) => node.children.map((id) => [id, node.name])),
  );
  return df.nodes.map((node) => ({
    id: node.id,
    host: hostOf.get(node.id),
    deviceClass: node.device_class,
    up: node.status === 'up',
    reweight: node.reweight,
    crushWeight: node.crush_weight,
    bytes: node.kb * 1024,
    usedBytes: node.kb_used * 1024,
    availableBytes: node.kb_avail * 1024,
    pgs: node.pgs,
  }));
}

export interface CrushNode {
  readonly id: number;
  readonly name: string;
  /** `root`, `host`, `osd` */
  readonly type: string;
  readonly deviceClass: string | undefined;
  readonly children: readonly number[];
  /** OSDs only. */
  readonly status: string | undefined;
  /** True where the OSD is in no bucket. */
  readonly stray: boolean;
}

const TreeNode = z.object({
  id: z.int(),
  name: z.string(),
  type: z.string(),
  device_class: z.string().optional(),
  children: z.array(z.int()).default([]),
  status: z.string().optional(),
});

export async function readOsdTree(ceph: Ceph, signal: AbortSignal): Promise<readonly CrushNode[]> {
  const answer = await ceph.mon(
    { prefix: 'osd tree' },
    z.object({ nodes: z.array(TreeNode), stray: z.array(TreeNode) }),
    { signal },
  );
  const toNode = (node: z.infer<typeof TreeNode>, stray: boolean): CrushNode => ({
    id: node.id,
    name: node.name,
    type: node.type,
    deviceClass: node.device_class,
    children: node.children,
    status: node.status,
    stray,
  });
  return [
    ...answer.nodes.map((node) => toNode(node, false)),
    ...answer.stray.map((node) => toNode(node, true)),
  ];
}

const ids = (osds: readonly number[]) => osds.map(String);

/** Marks OSDs out: their PGs move away. Unknown ids are no error. */
export async function markOut(ceph: Ceph, osds: readonly number[], signal: AbortSignal): Promise<void> {
  await ceph.mon({ prefix: 'osd out', ids: ids(osds) }, z.unknown(), { signal });
}

export async function markIn(ceph: Ceph, osds: readonly number[], signal: AbortSignal): Promise<void> {
  await ceph.mon({ prefix: 'osd in', ids: ids(osds) }, z.unknown(), { signal });
}

/** Whether all PGs stay available when these OSDs stop; where not, Ceph's reason. */
export async function osdsOkToStop(
  ceph: Ceph,
  osds: readonly number[],
  signal: AbortSignal,
): Promise<{ ok: true } | { ok: false; reason: string }> {
  try {
    await ceph.mgr({ prefix: 'osd ok-to-stop', ids: ids(osds) }, z.unknown(), { signal });
    return { ok: true };
  } catch (error) {
    if (isCephError(error, 'EBUSY')) return { ok: false, reason: error.text };
    throw error;
  }
}

/**
 * Whether an OSD can go without loss of redundancy. `unknown` is Ceph's EAGAIN: no reported stats and not all
 * PGs clean, so nobody can say yet.
 */
export async function safeToDestroy(
  ceph: Ceph,
  osd: number,
  signal: AbortSignal,
): Promise<{ verdict: 'safe' } | { verdict: 'holds-data' | 'unknown'; reason: string }> {
  try {
    const answer = await ceph.mgr(
      { prefix: 'osd safe-to-destroy', ids: ids([osd]) },
      z.object({
        safe_to_destroy: z.array(z.int()),
        active: z.array(z.int()),
        missing_stats: z.array(z.int()),
      }),
      { signal },
    );
    if (answer.safe_to_destroy.includes(osd)) return { verdict: 'safe' };
    if (answer.missing_stats.includes(osd))
      return { verdict: 'unknown', reason: `osd.${osd} has no reported stats` };
    return { verdict: 'holds-data', reason: `PGs are mapped to osd.${osd}` };
  } catch (error) {
    if (isCephError(error, 'EAGAIN')) return { verdict: 'unknown', reason: error.text };
    if (isCephError(error, 'EBUSY')) return { verdict: 'holds-data', reason: error.text };
    throw error;
  }
}

/**
 * Takes an OSD out of the OSD map, CRUSH and the auth database. Idempotent. EBUSY while it is up. The caller has
 * asked safeToDestroy, or decided against its answer. Only the mgr takes this command.
 */
export async function purgeOsd(ceph: Ceph, osd: number, signal: AbortSignal): Promise<void> {
  await ceph.mgr({ prefix: 'osd purge', id: osd, yes_i_really_mean_it: true }, z.unknown(), { signal });
}

/** `noout`, `norebalance` and the like, for the whole cluster. */
export async function setOsdFlag(ceph: Ceph, flag: string, on: boolean, signal: AbortSignal): Promise<void> {
  await ceph.mon({ prefix: on ? 'osd set' : 'osd unset', key: flag }, z.unknown(), { signal });
}

import type { ConfigMap } from 'kubernetes-types/core/v1.js';
import type { DiskVerdictStatus, NodeStorageStatus } from '../../api/ceph/cluster-status.ts';
import { ConfigMaps, Deployments } from '../../api/core.ts';
import type { Stored } from '../../api/resource.ts';
import type { Ceph } from '../../ceph/seam.ts';
import { readOsdMap, registerOsd, type Osd } from '../../ceph/osd.ts';
import {
  readAssignments,
  readReport,
  statusMapName,
  type Assignments,
  type DiskReport,
  type NodeReport,
} from '../osd/report.ts';
import type { ClusterIdentity } from './identity.ts';
import { osdDeployment } from './osd-deployment.ts';
import { settleOsd } from './osd-register.ts';
import { dropHandedOutKeys, ensurePrepareJob, handedOutKeys, runOf } from './osd-prepare-job.ts';
import type { StorageNode } from './storage-nodes.ts';
import type { ClusterWork } from './work.ts';

/** What became of all nodes’ disks. */
export interface OsdState {
  readonly nodes: readonly NodeStorageStatus[];
  /** Nodes whose disks are still being looked at or prepared. */
  readonly preparing: readonly string[];
  /** OSDs that should be up. */
  readonly wanted: readonly number[];
  /** Those of them that are not; the verdicts say the same, for they come from the same look at Ceph. */
  readonly starting: readonly number[];
  /** `node1: mon-a, mon-b` where dataDirHostPath holds mons of another cluster. */
  readonly foreignMons: readonly string[];
}

/** As long as a node’s job may take before the others no longer wait for it. */
const nodeLimitMs = 180_000;

/**
 * Brings OSDs up, node by node and disk by disk, none waiting for another: starts the prepare jobs, gives
 * numbers to disks that ask, registers them with Ceph once it answers, and runs what is prepared.
 */
export async function ensureOsds(
  work: ClusterWork,
  nodes: readonly StorageNode[],
  identity: ClusterIdentity,
  ceph: Ceph | undefined,
): Promise<OsdState> {
  const known = ceph ? (await readOsdMap(ceph, work.signal)).osds : undefined;
  const looks = await Promise.all(nodes.map((node) => lookAt(work, node, identity)));
  const numbers = numberSource(looks, identity, ceph, known, work);
  const states: NodeState[] = [];
  // One node after the other only for the numbers, which takes milliseconds.
  for (const look of looks) states.push(await advance(work, look, identity, ceph, known, numbers));
  const wanted = states.flatMap((state) => state.osds);
  return {
    nodes: states.map((state) => state.status),
    preparing: states.filter((state) => state.preparing).map((state) => state.status.node ?? ''),
    wanted,
    starting: wanted.filter((id) => !known?.some((osd) => osd.id === id && osd.up)),
    foreignMons: looks.flatMap(({ node, report }) =>
      report?.foreignMons?.length ? [`${node.hostname}: ${report.foreignMons.join(', ')}`] : [],
    ),
  };
}

/** Starts the jobs that look at disks, and no more: what they report is taken up by `ensureOsds`. */
export async function startPreparing(
  work: ClusterWork,
  nodes: readonly StorageNode[],
  identity: ClusterIdentity,
): Promise<void> {
  await Promise.all(
    nodes.filter((node) => node.usable).map((node) => ensurePrepareJob(work, node, identity)),
  );
}

interface NodeLook {
  readonly node: StorageNode;
  readonly map: Stored<ConfigMap> | undefined;
  /** Of the present run only. */
  readonly report: NodeReport | undefined;
  readonly earlier: NodeReport | undefined;
  readonly assignments: Assignments;
  readonly startedMs: number | undefined;
  readonly jobFailed: boolean;
}

async function lookAt(work: ClusterWork, node: StorageNode, identity: ClusterIdentity): Promise<NodeLook> {
  const job = node.usable ? await ensurePrepareJob(work, node, identity) : undefined;
  const ref = { namespace: work.namespace, name: statusMapName(node.hostname) };
  const map = await work.objects.get(ConfigMaps, ref, work.signal);
  const report = readReport(map);
  return {
    node,
    map,
    report: job && report?.run === runOf(job) ? report : undefined,
    earlier: report,
    assignments: readAssignments(map),
    startedMs: job && Date.parse(job.metadata.creationTimestamp),
    jobFailed:
      job?.status?.conditions?.some((one) => one.type === 'Failed' && one.status === 'True') ?? false,
  };
}

type NumberSource = (uuid: string) => Promise<number | undefined>;

/**
 * Who gives out OSD numbers. Ceph does, as soon as it was reached once. On a cluster that never was, all
 * numbers are free and only this operator knows of any, so it counts by itself: mkfs then runs beside the
 * mons’ start.
 */
function numberSource(
  looks: readonly NodeLook[],
  identity: ClusterIdentity,
  ceph: Ceph | undefined,
  known: readonly Osd[] | undefined,
  work: ClusterWork,
): NumberSource {
  const given = new Set([
    ...looks.flatMap((look) => Object.values(look.assignments)),
    ...looks.flatMap((look) => (look.report?.disks ?? []).flatMap((disk) => disk.osdId ?? [])),
    ...(known ?? []).map((osd) => osd.id),
  ]);
  return async (uuid) => {
    if (ceph && !identity.fresh) {
      const existing = known?.find((osd) => osd.uuid === uuid);
      if (existing) return existing.id;
      const key = await keyOf(work, looks, uuid);
      return key === undefined ? undefined : await registerOsd(ceph, { uuid, key }, work.signal);
    }
    if (!identity.fresh) return undefined;
    let id = 0;
    while (given.has(id)) id++;
    given.add(id);
    return id;
  };
}

async function keyOf(
  work: ClusterWork,
  looks: readonly NodeLook[],
  uuid: string,
): Promise<string | undefined> {
  for (const look of looks) {
    if (!look.report?.disks.some((disk) => disk.osdUuid === uuid)) continue;
    const key = (await handedOutKeys(work, look.node.hostname)).get(uuid);
    if (key !== undefined) return key;
  }
  return undefined;
}

interface NodeState {
  readonly status: NodeStorageStatus;
  readonly preparing: boolean;
  readonly osds: readonly number[];
}

async function advance(
  work: ClusterWork,
  look: NodeLook,
  identity: ClusterIdentity,
  ceph: Ceph | undefined,
  known: readonly Osd[] | undefined,
  numberFor: NumberSource,
): Promise<NodeState> {
  const { node, report } = look;
  const assignments = await assign(work, look, numberFor);
  const osds: number[] = [];
  const devices: DiskVerdictStatus[] = [];
  let unfinished = false;
  const disks = (report ?? look.earlier)?.disks ?? [];
  const numbered = disks.map((disk) => ({
    disk,
    id: disk.osdId ?? (disk.osdUuid === undefined ? undefined : assignments[disk.osdUuid]),
  }));
  // Ceph is told of an OSD while it is still being made, so that it can start at once.
  const problems = await Promise.all(
    numbered.map(async ({ disk, id }) =>
      ceph && known && disk.osdUuid !== undefined && id !== undefined
        ? await settleOsd(work, node.hostname, ceph, known, { ...disk, osdUuid: disk.osdUuid }, id)
        : undefined,
    ),
  );
  for (const [index, { disk, id }] of numbered.entries()) {
    const problem = problems[index];
    const registered = ceph !== undefined && problem === undefined;
    if (disk.verdict === 'InUse' && disk.osdUuid !== undefined && id !== undefined && registered) {
      const osd = { id, uuid: disk.osdUuid, hostname: node.hostname, deviceClass: disk.deviceClass };
      await work.objects.ensure(Deployments, osdDeployment(work, osd, identity.fsid), work.signal);
      osds.push(id);
    } else if (disk.osdUuid !== undefined && problem === undefined) unfinished = true;
    devices.push(verdictOf(disk, id, problem, known));
  }
  const finished =
    report?.phase === 'Completed' || report?.phase === 'Failed' || look.jobFailed || !node.usable;
  const late = look.startedMs !== undefined && work.clock.now() - look.startedMs > nodeLimitMs;
  // The keys have done their work: what is prepared has them in its label, and Ceph in its database.
  if (report?.phase === 'Completed' && !unfinished && ceph) await dropHandedOutKeys(work, node.hostname);
  return {
    status: { node: node.hostname, ...phaseOf(look, late), devices },
    preparing: !finished && !late,
    osds,
  };
}

/** Gives numbers to disks that ask for one, and writes them where the pod waits for them. */
async function assign(work: ClusterWork, look: NodeLook, numberFor: NumberSource): Promise<Assignments> {
  const asking = (look.report?.disks ?? []).filter(
    (disk) =>
      disk.reason === 'AwaitingId' &&
      disk.osdUuid !== undefined &&
      look.assignments[disk.osdUuid] === undefined,
  );
  if (asking.length === 0) return look.assignments;
  const assignments = { ...look.assignments };
  for (const disk of asking) {
    if (disk.osdUuid === undefined) continue;
    const id = await numberFor(disk.osdUuid);
    if (id !== undefined) assignments[disk.osdUuid] = id;
  }
  if (Object.keys(assignments).length === Object.keys(look.assignments).length) return look.assignments;
  await work.objects.merge(
    ConfigMaps,
    { namespace: work.namespace, name: statusMapName(look.node.hostname) },
    { data: { assignments: JSON.stringify(assignments) } },
    work.signal,
  );
  return assignments;
}

function verdictOf(
  disk: DiskReport,
  id: number | undefined,
  problem: string | undefined,
  known: readonly Osd[] | undefined,
): DiskVerdictStatus {
  const up = known?.find((osd) => osd.uuid === disk.osdUuid)?.up === true;
  const reason = problem ? 'FormatFailed' : up ? 'OsdRunning' : disk.reason;
  const message = problem ?? (up ? undefined : disk.message);
  return {
    device: disk.device,
    verdict: problem ? 'Failed' : disk.verdict,
    reason,
    ...(message !== undefined && { message }),
    ...(id !== undefined && { osd: id }),
    ...(disk.sizeBytes !== undefined && { sizeBytes: disk.sizeBytes }),
    ...(disk.owner !== undefined && { owner: disk.owner }),
  };
}

function phaseOf(look: NodeLook, late: boolean): { phase: string; message?: string; since?: string } {
  const since = look.startedMs === undefined ? {} : { since: new Date(look.startedMs).toISOString() };
  if (!look.node.usable)
    return { phase: 'Pending', message: 'the node is not ready, cordoned, tainted or absent', ...since };
  if (look.report?.phase === 'Completed') return { phase: 'Completed' };
  if (look.jobFailed || look.report?.phase === 'Failed')
    return {
      phase: 'Failed',
      message: look.report?.message ?? 'the prepare job failed; delete it to try again',
      ...since,
    };
  const what = look.report ? 'disks are being prepared' : 'the prepare pod has not reported yet';
  return {
    phase: look.report ? 'Preparing' : 'Pending',
    message: late ? `${what}; the cluster no longer waits for this node` : what,
    ...since,
  };
}

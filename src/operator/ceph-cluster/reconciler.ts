import { CephClusters, type CephCluster } from '../../api/ceph/ceph-cluster.ts';
import { refOf, type Stored } from '../../api/resource.ts';
import { readOsdTree } from '../../ceph/osd.ts';
import type { Ceph } from '../../ceph/seam.ts';
import type { DaemonVersions } from '../../ceph/versions.ts';
import { done, requeueAfter, type Outcome } from '../../control/outcome.ts';
import type { ReconcileContext, Reconciler } from '../../control/reconciler.ts';
import { writeStatus } from '../../control/status.ts';
import type { KubeClient } from '../../kube/client.ts';
import type { EventRecorder } from '../../kube/events.ts';
import { controllerReference } from '../../kube/owner-reference.ts';
import type { Clock } from '../../lib/clock.ts';
import { isLeavingError } from '../leaving.ts';
import { tellNews } from '../news.ts';
import { fieldsNotHonoured } from '../not-honoured.ts';
import type { OwnedObjects } from '../objects.ts';
import type { OperatorImages } from '../settings.ts';
import { formatVersion, runningVersion, versionInImageName } from './ceph-version.ts';
import { configureCeph, type AppliedConfig } from './configure.ts';
import { finalizeCluster } from './finalize.ts';
import { lookAtHealth, type HealthLook } from './health.ts';
import { harmlessClusterValues, honouredClusterFields } from './honoured.ts';
import {
  adminConnection,
  ensureIdentity,
  ensureKeyrings,
  markConnected,
  type ClusterIdentity,
} from './identity.ts';
import type { CephLinks } from './link.ts';
import { ensureMgrs } from './mgrs.ts';
import { ensureMonPlan } from './mon-plan.ts';
import { ensureMons } from './mons.ts';
import { ensureOsds, startPreparing, type OsdState } from './osds.ts';
import { waitsFor, waitsForMons, waitsForRemoval } from './readiness.ts';
import { liveRookOperator } from './rook-operator.ts';
import { clusterStatus, type ClusterFindings } from './status.ts';
import { wasReadyWhenLeft } from './unwatched.ts';
import { storageNodes, type StorageNode } from './storage-nodes.ts';
import { validateCluster } from './validate.ts';
import { cephImageOf, dataDirOf, type ClusterWork, type Problem, type Wait } from './work.ts';
import { ensureInternalPool, provesWrite } from './write-proof.ts';

export interface ClusterDeps {
  readonly kube: KubeClient;
  readonly objects: OwnedObjects;
  readonly links: CephLinks;
  readonly images: OperatorImages;
  readonly operatorNamespace: string;
  readonly events: EventRecorder;
  readonly clock: Clock;
  readonly random: (bytes: number) => Buffer;
  /** Makes what a connected cluster’s volumes need: CSI’s users, Secrets and workloads. */
  readonly ensureCsi: (work: ClusterWork, ceph: Ceph, monHost: string) => Promise<void>;
}

const healthyMs = 5_000; // One look costs a few milliseconds over the open connection.
const reproofMs = 60_000;
const othersMs = 30_000;
const soonMs = 200;

/** Brings one CephCluster up and keeps watch over it; each step is a file beside this one. */
export function clusterReconciler(deps: ClusterDeps): Reconciler<CephCluster> {
  const applied: AppliedConfig = new Map();
  const proofs = new Map<string, number>();

  return {
    name: 'ceph-cluster',
    finalizer: 'cephcluster.ceph.rook.io',
    async reconcile(cluster, context) {
      if (cluster.metadata.labels?.['ceph.rook.io/do-not-reconcile'] !== undefined) return done;
      const work = workOf(deps, cluster, context);
      const turn = await runSteps(deps, work, applied, proofs);
      const { found } = turn;
      if (found) {
        const written = await writeStatus(
          deps.kube,
          CephClusters,
          cluster,
          (current) => clusterStatus(current, found, deps.clock.now()),
          context,
        );
        tellNews(deps.events, cluster, written);
      }
      return turn.outcome;
    },
    async finalize(cluster, context) {
      const work = workOf(deps, cluster, context);
      // Its daemons are Rook’s to stop, and the finalizer, which bears the same name, Rook’s to lift.
      if (await rookBeside(work)) return requeueAfter(othersMs);
      const outcome = await finalizeCluster(work, deps.links);
      if (outcome.kind === 'done') {
        applied.delete(cluster.metadata.uid);
        proofs.delete(cluster.metadata.uid);
        await deps.links.drop(refOf(cluster));
      }
      return outcome;
    },
  };
}

function workOf(
  deps: ClusterDeps,
  cluster: Stored<CephCluster>,
  { log, signal }: ReconcileContext,
): ClusterWork {
  const { kube, objects, images, operatorNamespace, clock, random } = deps;
  const namespace = cluster.metadata.namespace ?? '';
  return {
    cluster,
    namespace,
    operatorNamespace,
    owner: controllerReference(cluster),
    kube,
    objects,
    images,
    clock,
    random,
    log,
    signal,
  };
}

interface Turn {
  /** Left out where nothing new can be said: the status stays as it is. */
  readonly found?: ClusterFindings;
  readonly outcome: Outcome;
}

const rookBeside = ({ objects, namespace, operatorNamespace, images, signal }: ClusterWork) =>
  liveRookOperator(objects, [namespace, operatorNamespace], signal, images.own?.name);

/** The steps in their order; each either gives what the next one needs or ends the turn with a wait. */
async function runSteps(
  deps: ClusterDeps,
  work: ClusterWork,
  applied: AppliedConfig,
  proofs: Map<string, number>,
): Promise<Turn> {
  const image = cephImageOf(work);
  const version = versionInImageName(image);
  const base: ClusterFindings = {
    problems: [],
    notHonoured: fieldsNotHonoured(work.cluster.spec, honouredClusterFields, harmlessClusterValues),
    waits: [],
    image,
    version: version && formatVersion(version),
    connected: false,
    storage: [],
    proven: false,
  };
  const problems = [...validateCluster(work.cluster.spec), ...unmanageable(work)];
  // Only a changed spec can mend it, and that brings us back.
  if (problems.length > 0) return { found: { ...base, problems }, outcome: done };

  const rook = await rookBeside(work);
  if (rook) {
    const message = `a live Rook operator (pod ${rook}) owns these resources; scale its Deployment to 0 to hand them over`;
    return {
      found: { ...base, blockedBy: { reason: 'RookOperatorActive', message } },
      outcome: requeueAfter(othersMs),
    };
  }
  try {
    return await bringUp(deps, work, base, applied, proofs);
  } catch (error) {
    if (!isLeavingError(error)) throw error;
    return ended(base, waitsForRemoval(error));
  }
}

async function bringUp(
  deps: ClusterDeps,
  work: ClusterWork,
  base: ClusterFindings,
  applied: AppliedConfig,
  proofs: Map<string, number>,
): Promise<Turn> {
  const identity = await ensureIdentity(work);
  const nodes = await storageNodes(work);
  // Preparing disks takes longest, so it starts first; nothing of it needs the mons.
  const [plan] = await Promise.all([
    ensureMonPlan(work),
    startPreparing(work, nodes, identity),
    ensureKeyrings(work, identity),
  ]);
  if ('reason' in plan) return ended(base, [plan]);
  const [mons] = await Promise.all([ensureMons(work, plan, identity.fsid), ensureMgrs(work, identity.fsid)]);
  const ceph = deps.links.connected(refOf(work.cluster), adminConnection(identity, plan.monHost));
  const refused = ceph ? await configureCeph(work, ceph, applied) : [];
  const [osds] = await Promise.all([
    // Disks are looked at and made into OSDs beside the mons’ start.
    ensureOsds(work, nodes, identity, ceph),
    ceph && identity.fresh ? ensureInternalPool(work, ceph, nodes.length) : undefined,
  ]);
  if (!ceph && osds.foreignMons.length > 0) {
    const where = `${dataDirOf(work.cluster)} holds mons of another cluster on ${osds.foreignMons.join('; ')}`;
    const message = `${where}. To start anew, move these folders away and delete the mons’ pods; to get that cluster back, restore its Secret rook-ceph-mon`;
    return {
      found: { ...base, storage: osds.nodes, blockedBy: { reason: 'LeftoverData', message } },
      outcome: requeueAfter(othersMs),
    };
  }
  // An operator that just started has yet to hear from mons that answered its predecessor.
  if (!ceph && !identity.fresh && !deps.links.isUnreached(refOf(work.cluster)))
    return { outcome: requeueAfter(soonMs) };
  if (!ceph) return ended({ ...base, storage: osds.nodes }, waitsForMons(mons));
  if (identity.fresh) await markConnected(work);
  return await connectedTurn(
    deps,
    work,
    { ...base, connected: true, storage: osds.nodes },
    { ceph, identity, osds, nodes, refused, monHost: plan.monHost, proofs },
  );
}

interface Connected {
  readonly ceph: Ceph;
  readonly identity: ClusterIdentity;
  readonly osds: OsdState;
  readonly nodes: readonly StorageNode[];
  readonly refused: readonly Problem[];
  readonly monHost: string;
  readonly proofs: Map<string, number>;
}

async function connectedTurn(
  deps: ClusterDeps,
  work: ClusterWork,
  base: ClusterFindings,
  turn: Connected,
): Promise<Turn> {
  const { ceph, osds, refused } = turn;
  const health: HealthLook = await lookAtHealth(work, ceph);
  const running = runningVersion((health.ceph.versions ?? {}) as DaemonVersions);
  // The tag says what was asked for; where it says nothing, what runs is the answer.
  const version = base.version ?? (running && formatVersion(running));
  const found = { ...base, version, health };
  const waits = waitsFor(work, health, osds);
  const wasReady = work.cluster.status?.phase === 'Ready' || wasReadyWhenLeft(work.cluster);
  // A cluster that was ready stays so while a daemon is down; Ceph’s health tells of that.
  if (waits.length > 0 && !(wasReady && health.status.osds.up > 0))
    return ended(withRefused(found, refused), waits);
  const proven = await recentlyProven(work, turn, health);
  // Not before: CSI’s pods would take the CPU that OSDs need to come up.
  if (proven) await deps.ensureCsi(work, ceph, turn.monHost);
  if (!proven)
    return ended(withRefused(found, refused), [
      {
        step: 'write',
        reason: 'WriteNotProven',
        message: 'no write went through yet',
        recheckMs: 200,
        limitMs: 120_000,
      },
    ]);
  const ready = withRefused({ ...found, proven: true }, refused);
  return { found: ready, outcome: requeueAfter(statusInterval(work)) };
}

async function recentlyProven(work: ClusterWork, turn: Connected, health: HealthLook): Promise<boolean> {
  const { uid } = work.cluster.metadata;
  const lastMs = turn.proofs.get(uid);
  if (lastMs !== undefined && work.clock.now() - lastMs < reproofMs) return true;
  const hosts = (await readOsdTree(turn.ceph, work.signal)).filter((node) => node.type === 'host').length;
  if (!(await provesWrite(work, turn.ceph, health.status.osds.up, hosts))) {
    turn.proofs.delete(uid);
    return false;
  }
  turn.proofs.set(uid, work.clock.now());
  return true;
}

/** Settings that Ceph refused are named, and keep nothing else from working. */
function withRefused(found: ClusterFindings, refused: readonly Problem[]): ClusterFindings {
  if (refused.length === 0) return found;
  const fields = refused.map((problem) => `${problem.field.replace(/^spec\./, '')} (${problem.message})`);
  return { ...found, notHonoured: [...found.notHonoured, ...fields] };
}

function ended(found: ClusterFindings, waits: readonly Wait[]): Turn {
  const recheckMs = Math.min(...waits.map((wait) => wait.recheckMs));
  return { found: { ...found, waits }, outcome: requeueAfter(recheckMs) };
}

/** What this release cannot run at all, said before anything is made. */
function unmanageable(work: ClusterWork): Problem[] {
  const { external, network, mon, storage } = work.cluster.spec;
  const problems: Problem[] = [];
  const cannot = (field: string, message: string) => problems.push({ field: `spec.${field}`, message });
  if (external?.enable)
    cannot('external.enable', 'is not supported by this release; leave such clusters to Rook for now');
  if (network?.provider === 'multus')
    cannot('network.provider', 'multus is not supported by this release; use "" or host');
  if (mon?.stretchCluster) cannot('mon.stretchCluster', 'is not supported by this release; leave it out');
  if (mon?.volumeClaimTemplate)
    cannot('mon.volumeClaimTemplate', 'is not supported by this release; dataDirHostPath is used');
  if ((storage?.storageClassDeviceSets ?? []).length > 0)
    cannot('storage.storageClassDeviceSets', 'is not supported by this release; use devices of nodes');
  return problems;
}

function statusInterval(work: ClusterWork): number {
  const text = work.cluster.spec.healthCheck?.daemonHealth?.status?.interval;
  const parsed = /^(\d+)(s|m)$/.exec(text ?? '');
  if (!parsed) return healthyMs;
  return Math.max(1, Number(parsed[1])) * (parsed[2] === 'm' ? 60_000 : 1_000);
}

import { CephBlockPools, type CephBlockPool, poolName } from '../../api/ceph/ceph-block-pool.ts';
import { CephClusters } from '../../api/ceph/ceph-cluster.ts';
import type { Reason } from '../../api/reasons.ts';
import type { Stored } from '../../api/resource.ts';
import { allPgsClean, readStatus } from '../../ceph/mon.ts';
import { createPool, readPool } from '../../ceph/pools.ts';
import { proveWrite } from '../../ceph/write-proof.ts';
import { isCephError } from '../../ceph/errors.ts';
import type { Ceph } from '../../ceph/seam.ts';
import { done, requeueAfter, type Outcome } from '../../control/outcome.ts';
import type { ReconcileContext, Reconciler } from '../../control/reconciler.ts';
import { writeStatus } from '../../control/status.ts';
import { isDeadlineError } from '../../lib/deadline.ts';
import { liveRookOperator } from '../ceph-cluster/rook-operator.ts';
import { wasReadyWhenLeft } from '../ceph-cluster/unwatched.ts';
import { writeLimitMs } from '../ceph-cluster/write-proof.ts';
import { tellNews } from '../news.ts';
import { fieldsNotHonoured } from '../not-honoured.ts';
import { finalizePool } from './finalize.ts';
import type { BlockPoolDeps } from './pool.ts';
import { harmlessPoolValues, honouredPoolFields } from './honoured.ts';
import { startingPgNum } from './placement-groups.ts';
import { ensureRule, failureDomains, ruleSpecOf } from './rule.ts';
import { applyPoolSettings } from './settings.ts';
import { poolStatus, type PoolFindings } from './status.ts';
import { validatePool } from './validate.ts';

const recheckMs = 60_000; // Ceph sends no event when someone changes a pool by hand, so we look again.
const soonMs = 200;
const waitMs = 2_000;
const othersMs = 30_000;
const newForMs = 60_000;

/** Brings one CephBlockPool to its spec: the pool, its rule, its settings, and a write that goes through. */
export function blockPoolReconciler(deps: BlockPoolDeps): Reconciler<CephBlockPool> {
  const initialised = new Set<string>();
  return {
    name: 'block-pool',
    finalizer: 'cephblockpool.ceph.rook.io',
    async reconcile(pool, context) {
      if (pool.metadata.labels?.['ceph.rook.io/do-not-reconcile'] !== undefined) return done;
      const { found, outcome } = await look(deps, pool, context, initialised);
      if (found) {
        const written = await writeStatus(
          deps.kube,
          CephBlockPools,
          pool,
          (current) => poolStatus(current, found, deps.clock.now()),
          context,
        );
        tellNews(deps.events, pool, written);
      }
      return outcome;
    },
    async finalize(pool, context) {
      const namespaces = [pool.metadata.namespace ?? '', deps.operatorNamespace];
      if (await liveRookOperator(deps.objects, namespaces, context.signal, deps.ownImage))
        return requeueAfter(othersMs);
      const outcome = await finalizePool(deps, pool, context);
      if (outcome.kind === 'done') initialised.delete(pool.metadata.uid);
      return outcome;
    },
  };
}

interface Look {
  /** Left out where nothing new can be said: the status stays as it is. */
  readonly found?: PoolFindings;
  readonly outcome: Outcome;
}

async function look(
  deps: BlockPoolDeps,
  pool: Stored<CephBlockPool>,
  context: ReconcileContext,
  initialised: Set<string>,
): Promise<Look> {
  const base: PoolFindings = {
    problems: [],
    notHonoured: fieldsNotHonoured(pool.spec, honouredPoolFields, harmlessPoolValues),
  };
  const problems = validatePool(pool.spec);
  if (problems.length > 0) return { found: { ...base, problems }, outcome: done };
  const namespace = pool.metadata.namespace ?? '';
  const namespaces = [namespace, deps.operatorNamespace];
  const rook = await liveRookOperator(deps.objects, namespaces, context.signal, deps.ownImage);
  if (rook)
    return waiting(
      base,
      'RookOperatorActive',
      `a live Rook operator (pod ${rook}) owns this pool; scale its Deployment to 0 to hand it over`,
      othersMs,
    );
  const ceph = deps.links.get(namespace);
  if (!ceph) return await withoutCeph(deps, namespace, base, context.signal);
  const isNew = deps.clock.now() - Date.parse(pool.metadata.creationTimestamp) < newForMs;
  return await bring(ceph, { resource: pool, isNew }, base, context, initialised);
}

/** What the cluster itself says it waits for, for a pool’s user looks at the pool. */
async function withoutCeph(
  deps: BlockPoolDeps,
  namespace: string,
  base: PoolFindings,
  signal: AbortSignal,
): Promise<Look> {
  const [cluster] = await deps.objects.list(CephClusters, namespace, signal);
  if (!cluster)
    return waiting(base, 'ClusterNotReady', `there is no CephCluster in namespace ${namespace}`, waitMs);
  const { phase = 'new', message = 'not looked at yet' } = cluster.status ?? {};
  // An operator that just started has yet to connect; the cluster’s status changes where it cannot.
  if (phase === 'Ready' || wasReadyWhenLeft(cluster)) return { outcome: requeueAfter(soonMs) };
  const word = `CephCluster ${cluster.metadata.name} is ${phase}: ${message}`;
  return waiting(base, 'ClusterNotReady', word, waitMs);
}

const waiting = (base: PoolFindings, reason: Reason, message: string, afterMs: number): Look => ({
  found: { ...base, wait: { reason, message } },
  outcome: requeueAfter(afterMs),
});

async function bring(
  ceph: Ceph,
  { resource, isNew }: { readonly resource: Stored<CephBlockPool>; readonly isNew: boolean },
  base: PoolFindings,
  { log, signal }: ReconcileContext,
  initialised: Set<string>,
): Promise<Look> {
  const { spec, metadata } = resource;
  const name = poolName(resource);
  const size = spec.replicated?.size ?? 3;
  const wanted = ruleSpecOf(spec);
  const status = await readStatus(ceph, signal);
  const { up, total } = status.osds;
  const noOsdUp = (so: PoolFindings) => waiting(so, 'ClusterNotReady', 'no OSD is up yet', soonMs);
  if (total === 0) return noOsdUp(base);

  let pool = await readPool(ceph, name, signal);
  // A rule that changed later is only taken where the user allowed data to move for it.
  const keepRule = pool !== undefined && spec.enableCrushUpdates !== true;
  const rule = keepRule && pool ? pool.crushRule : await ensureRule(ceph, name, wanted, signal);
  if (rule === undefined)
    return waiting(base, 'DeviceClassMissing', `no OSD has the device class ${wanted.deviceClass}`, waitMs);
  if (!pool) {
    const pgNum =
      Number(spec.parameters?.['pg_num']) || startingPgNum(total, size, spec.replicated?.targetSizeRatio);
    log.info({ pool: name, size, rule, pgNum }, 'creating pool');
    try {
      pool = await createPool(ceph, name, { size, crushRule: rule, pgNum, autoscaleMode: 'on' }, signal);
    } catch (error) {
      // More placement groups than the OSDs that are in may hold, and others are still starting.
      if (up >= total || !isCephError(error, 'ERANGE')) throw error;
      const message = `${up} of ${total} OSDs are up, on which Ceph refuses ${pgNum} placement groups: ${error.text}`;
      return waiting(base, 'ClusterNotReady', message, waitMs);
    }
  }
  const refused = await applyPoolSettings(ceph, pool, spec, rule, signal);
  const found: PoolFindings = {
    ...base,
    refused,
    pool: { id: pool.id, failureDomain: wanted.failureDomain },
  };
  // It is made while the first OSDs start, for that takes as long as their start; a write has to wait.
  if (up === 0) return noOsdUp(found);
  return await prove(
    ceph,
    {
      name,
      size,
      uid: metadata.uid,
      application: spec.application || 'rbd',
      isNew,
    },
    found,
    wanted,
    signal,
    initialised,
  );
}

interface PoolToProve {
  readonly name: string;
  readonly size: number;
  readonly uid: string;
  readonly application: string;
  /** Its OSDs may just be starting: then the last of them is all that is waited for. */
  readonly isNew: boolean;
}

async function prove(
  ceph: Ceph,
  pool: PoolToProve,
  found: PoolFindings,
  rule: ReturnType<typeof ruleSpecOf>,
  signal: AbortSignal,
  initialised: Set<string>,
): Promise<Look> {
  const domains = await failureDomains(ceph, rule, signal);
  if (domains < pool.size) {
    const lacking = `${pool.size} copies need ${pool.size} failure domains of type ${rule.failureDomain} with an OSD up, there are ${domains}`;
    return waiting(
      found,
      'TooFewFailureDomains',
      `${lacking}; add OSDs, or lower replicated.size`,
      pool.isNew ? soonMs : waitMs,
    );
  }
  try {
    if (!initialised.has(pool.uid)) {
      await proveWrite(ceph, pool.name, pool.uid, { signal, timeoutMs: writeLimitMs });
      if (pool.application === 'rbd') await ceph.rbd.initPool({ pool: pool.name }, { signal });
      initialised.add(pool.uid);
    }
  } catch (error) {
    const blocked =
      isDeadlineError(error) || (isCephError(error) && (error.retryable || error.errnoName === 'ETIMEDOUT'));
    if (!blocked) throw error;
    return waiting(
      found,
      'WriteNotProven',
      'placement groups are not active yet: no write went through',
      soonMs,
    );
  }
  const status = await readStatus(ceph, signal);
  // Writes go through; that copies are still being made is worth a word, not a wait.
  return { found: { ...found, ready: true, clean: allPgsClean(status) }, outcome: requeueAfter(recheckMs) };
}

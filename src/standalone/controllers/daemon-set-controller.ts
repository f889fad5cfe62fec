import type { DaemonSet } from 'kubernetes-types/apps/v1.js';
import type { Node, Pod } from 'kubernetes-types/core/v1.js';
import { ControllerRevisions, DaemonSets, Nodes, Pods } from '../../api/core.ts';
import { keyOf, refOf, type Stored } from '../../api/resource.ts';
import { isDeleted } from '../../control/finalizer.ts';
import { done, requeueAfter, type Outcome } from '../../control/outcome.ts';
import type { ControllerSpec } from '../../control/reconciler.ts';
import { writeStatus } from '../../control/status.ts';
import { triggeredBy, triggeredByOwned } from '../../control/trigger.ts';
import type { EventRecorder } from '../../kube/events.ts';
import { backoffMs } from '../../lib/backoff.ts';
import { askedDeletions, type AskedDeletions } from './asked-deletions.ts';
import { claimIndexes, claimObjects } from './claim.ts';
import {
  ensureRevision,
  pruneRevisions,
  revisionCache,
  revisionHashLabel,
  type Revisions,
} from './controller-revisions.ts';
import { daemonTolerations, daemonVerdict, nodeOfDaemonPod, pinnedTo } from './daemon-set-nodes.ts';
import type { Environment } from './environment.ts';
import { createPods, deletePods, type PodBatch } from './pod-batches.ts';
import { availableInMs, isActive, isReady, isTerminal } from './pod-state.ts';
import { podFromTemplate, scaledValue } from './pod-template.ts';

const failedBackoff = { baseMs: 1_000, maxMs: 900_000 };

/** Keeps one pod of each DaemonSet on every node that it is for. */
export function daemonSetController(environment: Environment): ControllerSpec<DaemonSet> {
  const { client, caches, clock } = environment;
  const pods = caches.cache(Pods, {}, claimIndexes);
  const daemonSets = caches.cache(DaemonSets);
  revisionCache(environment);
  const events = environment.events('daemonset-controller');
  const asked = askedDeletions(clock);
  const failures = new Map<string, { count: number; atMs: number }>();
  return {
    resource: DaemonSets,
    triggers: [
      triggeredByOwned(Pods, 'DaemonSet'),
      triggeredByOwned(ControllerRevisions, 'DaemonSet'),
      triggeredBy(Nodes, () => daemonSets.list().map(refOf)),
    ],
    reconciler: {
      name: 'daemonset',
      async reconcile(daemonSet, { signal }) {
        if (isDeleted(daemonSet)) return done;
        const revisions = await ensureRevision(environment, daemonSet, signal);
        const claim = {
          client,
          resource: Pods,
          cache: pods,
          owner: daemonSet,
          selector: daemonSet.spec?.selector,
        };
        const held = await claimObjects(claim, { signal });
        const turn: Turn = { environment, daemonSet, revisions, events, asked, failures, signal };
        const placed = await place(turn, held);
        if (placed.failure) throw placed.failure;
        await update(turn, placed);
        const waitMs = await report(turn, held);
        const used = new Set(held.map((pod) => pod.metadata.labels?.[revisionHashLabel] ?? ''));
        await pruneRevisions(
          environment,
          revisions,
          used,
          daemonSet.spec?.revisionHistoryLimit ?? 10,
          signal,
        );
        return soonest([waitMs, placed.retryMs]);
      },
    },
  };
}

interface Turn {
  readonly environment: Environment;
  readonly daemonSet: Stored<DaemonSet>;
  readonly revisions: Revisions;
  readonly events: EventRecorder;
  readonly asked: AskedDeletions;
  readonly failures: Map<string, { count: number; atMs: number }>;
  readonly signal: AbortSignal;
}

const soonest = (waits: readonly (number | undefined)[]): Outcome => {
  const known = waits.filter((one) => one !== undefined);
  return known.length === 0 ? done : requeueAfter(Math.min(...known));
};

const batchOf = ({ environment, events, daemonSet, signal }: Turn): PodBatch => ({
  client: environment.client,
  cache: environment.caches.cache(Pods),
  events,
  owner: daemonSet,
  signal,
});

interface Placed {
  /** Nodes that shall have a pod, with the pods that are there now. */
  readonly wanted: ReadonlyMap<string, readonly Stored<Pod>[]>;
  readonly failure?: Error | undefined;
  readonly retryMs?: number | undefined;
}

/** Makes the missing pods and removes those that are too many, failed, or on the wrong node. */
async function place(turn: Turn, held: readonly Stored<Pod>[]): Promise<Placed> {
  const { environment, daemonSet, revisions, asked } = turn;
  const nodes = environment.caches.cache(Nodes).list();
  const byNode = groupByNode(held);
  const surplus: Stored<Pod>[] = [];
  const missing: Stored<Node>[] = [];
  const wanted = new Map<string, readonly Stored<Pod>[]>();
  let retryMs: number | undefined;
  for (const node of nodes) {
    const { name } = node.metadata;
    const { shouldRun, mayStay } = daemonVerdict(daemonSet, node);
    const there = byNode.get(name) ?? [];
    const alive = there.filter((pod) => isActive(pod) && !asked.has(pod.metadata.uid));
    if (!shouldRun) {
      if (!mayStay) surplus.push(...alive);
      continue;
    }
    wanted.set(name, alive);
    const failed = there.filter((pod) => isTerminal(pod) && pod.metadata.deletionTimestamp === undefined);
    const restMs = failed.length === 0 ? 0 : failedRestMs(turn, name);
    if (restMs > 0) retryMs = Math.min(retryMs ?? restMs, restMs);
    else for (const pod of failed) sayFailed(turn, pod, name);
    if (restMs <= 0) surplus.push(...failed);
    const [, ...doubles] = [...alive].sort((a, b) => age(a) - age(b));
    surplus.push(...doubles);
    // A pod that is going, or failed, keeps its place until it is gone: its ports and mounts are taken.
    if (there.length === 0) missing.push(node);
  }
  const known = new Set(nodes.map((node) => node.metadata.name));
  for (const [name, there] of byNode)
    if (!known.has(name)) surplus.push(...there.filter((pod) => isActive(pod) && !pod.spec?.nodeName));
  const batch = batchOf(turn);
  const removed = await deletePods(batch, surplus, asked);
  const hash = revisions.current.metadata.labels?.[revisionHashLabel] ?? '';
  const made = await createPods(
    batch,
    missing.map((node) => daemonPod(daemonSet, node.metadata.name, hash)),
  );
  return { wanted, failure: removed ?? made.failure, retryMs };
}

const age = (pod: Stored<Pod>): number => Date.parse(pod.metadata.creationTimestamp) || 0;

function groupByNode(pods: readonly Stored<Pod>[]): Map<string, Stored<Pod>[]> {
  const groups = new Map<string, Stored<Pod>[]>();
  for (const pod of pods) {
    const node = nodeOfDaemonPod(pod);
    if (node === undefined) continue;
    groups.set(node, [...(groups.get(node) ?? []), pod]);
  }
  return groups;
}

function daemonPod(daemonSet: Stored<DaemonSet>, node: string, hash: string): Pod {
  const pod = podFromTemplate(daemonSet.spec?.template, daemonSet, { labels: { [revisionHashLabel]: hash } });
  const spec = pod.spec ?? { containers: [] };
  return {
    ...pod,
    spec: { ...spec, affinity: pinnedTo(spec.affinity, node), tolerations: daemonTolerations(pod) },
  };
}

/** How long a failed pod still has to wait for its replacement; it doubles with each failure. */
function failedRestMs({ environment, failures, daemonSet }: Turn, node: string): number {
  const { clock } = environment;
  const key = `${daemonSet.metadata.uid}/${node}`;
  const before = failures.get(key);
  if (before && clock.now() - before.atMs > 2 * failedBackoff.maxMs) failures.delete(key);
  const known = failures.get(key);
  const restMs = known ? known.atMs + backoffMs(known.count, failedBackoff) - clock.now() : 0;
  if (restMs > 0) return restMs;
  failures.set(key, { count: (known?.count ?? -1) + 1, atMs: clock.now() });
  return 0;
}

function sayFailed({ events, daemonSet }: Turn, pod: Stored<Pod>, node: string): void {
  const message = `Found failed daemon pod ${keyOf(refOf(pod))} on node ${node}, will try to kill it`;
  events.event(daemonSet, 'Warning', 'FailedDaemonPod', message);
}

/** Deletes pods of an older template as far as maxUnavailable lets; OnDelete leaves that to the user. */
async function update(turn: Turn, { wanted }: Placed): Promise<void> {
  const { environment, daemonSet, revisions, asked } = turn;
  if (daemonSet.spec?.updateStrategy?.type === 'OnDelete') return;
  const rolling = daemonSet.spec?.updateStrategy?.rollingUpdate;
  const limit = Math.max(1, scaledValue(rolling?.maxUnavailable, wanted.size, 'up', 1));
  const hash = revisions.current.metadata.labels?.[revisionHashLabel];
  const minReady = daemonSet.spec?.minReadySeconds ?? 0;
  const nowMs = environment.clock.now();
  let unavailable = 0;
  const broken: Stored<Pod>[] = [];
  const working: Stored<Pod>[] = [];
  for (const [, pods] of wanted) {
    const [pod] = pods;
    const available = pod !== undefined && availableInMs(pod, minReady, nowMs) === 0;
    if (!available) unavailable++;
    if (pod === undefined || pod.metadata.labels?.[revisionHashLabel] === hash) continue;
    (available ? working : broken).push(pod);
  }
  // An old pod that serves nobody goes at once: it cannot make things worse.
  const room = Math.max(0, limit - unavailable);
  const failure = await deletePods(batchOf(turn), [...broken, ...working.slice(0, room)], asked);
  if (failure) throw failure;
}

/** Writes the counts; answers how long until a ready pod becomes available. */
async function report(turn: Turn, held: readonly Stored<Pod>[]): Promise<number | undefined> {
  const { environment, daemonSet, revisions, asked, signal } = turn;
  const { client, caches, clock } = environment;
  const minReady = daemonSet.spec?.minReadySeconds ?? 0;
  const hash = revisions.current.metadata.labels?.[revisionHashLabel];
  // What this reconcile made is in the cache already.
  const fresh = caches.cache(Pods).byIndex('controller', daemonSet.metadata.uid);
  const byNode = groupByNode(fresh.length > 0 ? fresh : held);
  const counts = { desired: 0, current: 0, ready: 0, available: 0, updated: 0, misscheduled: 0 };
  let waitMs: number | undefined;
  for (const node of caches.cache(Nodes).list()) {
    const [pod] = (byNode.get(node.metadata.name) ?? [])
      .filter((one) => isActive(one) && !asked.has(one.metadata.uid))
      .sort((a, b) => age(a) - age(b));
    if (!daemonVerdict(daemonSet, node).shouldRun) {
      if (pod) counts.misscheduled++;
      continue;
    }
    counts.desired++;
    if (!pod) continue;
    counts.current++;
    if (isReady(pod)) counts.ready++;
    const leftMs = availableInMs(pod, minReady, clock.now());
    if (leftMs === 0) counts.available++;
    else if (leftMs !== undefined) waitMs = Math.min(waitMs ?? leftMs, leftMs);
    if (pod.metadata.labels?.[revisionHashLabel] === hash) counts.updated++;
  }
  const status = {
    currentNumberScheduled: counts.current,
    desiredNumberScheduled: counts.desired,
    numberReady: counts.ready,
    numberAvailable: counts.available,
    numberUnavailable: counts.desired - counts.available,
    numberMisscheduled: counts.misscheduled,
    updatedNumberScheduled: counts.updated,
    observedGeneration: daemonSet.metadata.generation ?? 0,
  };
  const written = await writeStatus(client, DaemonSets, daemonSet, (now) => ({ ...now.status, ...status }), {
    signal,
  });
  if (written) caches.cache(DaemonSets).remember(written);
  return waitMs;
}

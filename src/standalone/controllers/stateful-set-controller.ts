import type { ControllerRevision, StatefulSet } from 'kubernetes-types/apps/v1.js';
import type { Pod } from 'kubernetes-types/core/v1.js';
import { ControllerRevisions, PersistentVolumeClaims, Pods, StatefulSets } from '../../api/core.ts';
import { refOf, type Stored } from '../../api/resource.ts';
import { isDeleted } from '../../control/finalizer.ts';
import { done, requeueAfter, type Outcome } from '../../control/outcome.ts';
import type { ControllerSpec } from '../../control/reconciler.ts';
import { writeStatus } from '../../control/status.ts';
import { triggeredByOwned } from '../../control/trigger.ts';
import { isAlreadyExists } from '../../kube/errors.ts';
import { askedDeletions } from './asked-deletions.ts';
import { claimIndexes, claimObjects } from './claim.ts';
import {
  ensureRevision,
  pruneRevisions,
  revisionCache,
  revisionHashLabel,
  type Revisions,
} from './controller-revisions.ts';
import type { Environment } from './environment.ts';
import { createPods, deletePods, type PodBatch } from './pod-batches.ts';
import { availableInMs, isActive, isReady, isTerminal, isTerminating } from './pod-state.ts';
import { claimsOf, ordinalOf, statefulPod } from './stateful-set-pods.ts';

const hashOf = (revision: Stored<ControllerRevision>): string =>
  revision.metadata.labels?.[revisionHashLabel] ?? '';

/** Keeps the numbered pods of each StatefulSet, one step at a time unless it says Parallel. */
export function statefulSetController(environment: Environment): ControllerSpec<StatefulSet> {
  const { client, caches, clock } = environment;
  const pods = caches.cache(Pods, {}, claimIndexes);
  caches.cache(StatefulSets);
  caches.cache(PersistentVolumeClaims);
  revisionCache(environment);
  const events = environment.events('statefulset-controller');
  const asked = askedDeletions(clock);
  return {
    resource: StatefulSets,
    triggers: [triggeredByOwned(Pods, 'StatefulSet'), triggeredByOwned(ControllerRevisions, 'StatefulSet')],
    reconciler: {
      name: 'statefulset',
      async reconcile(set, { signal }) {
        if (isDeleted(set)) return done;
        const revisions = await ensureRevision(environment, set, signal);
        const claim = { client, resource: Pods, cache: pods, owner: set, selector: set.spec?.selector };
        const held = await claimObjects(claim, { signal });
        const batch: PodBatch = { client, cache: pods, events, owner: set, signal };
        const remove = async (list: readonly Stored<Pod>[]) => {
          const failure = await deletePods(
            batch,
            list.filter((pod) => !asked.has(pod.metadata.uid)),
            asked,
          );
          if (failure) throw failure;
        };
        const step = nextStep(set, held, revisions, clock.now());
        if (step.remove.length > 0) await remove(step.remove);
        for (const ordinal of step.create) {
          await ensureClaims(environment, set, ordinal, signal);
          const hash = createdHash(set, ordinal, held, revisions);
          const made = await createPods(batch, [podOf(set, ordinal, hash, revisions)]);
          if (made.failure && !isAlreadyExists(made.failure)) throw made.failure;
        }
        await report(environment, set, revisions, signal);
        const used = new Set(held.map((pod) => pod.metadata.labels?.[revisionHashLabel] ?? ''));
        await pruneRevisions(environment, revisions, used, set.spec?.revisionHistoryLimit ?? 10, signal);
        return step.wait;
      },
    },
  };
}

interface Step {
  readonly create: readonly number[];
  readonly remove: readonly Stored<Pod>[];
  readonly wait: Outcome;
}

/** What may be done now: with OrderedReady one pod, and only when all before it are ready. */
function nextStep(
  set: Stored<StatefulSet>,
  held: readonly Stored<Pod>[],
  revisions: Revisions,
  nowMs: number,
): Step {
  const replicas = set.spec?.replicas ?? 1;
  const start = (set.spec as { ordinals?: { start?: number } } | undefined)?.ordinals?.start ?? 0;
  const minReady = set.spec?.minReadySeconds ?? 0;
  const parallel = set.spec?.podManagementPolicy === 'Parallel';
  const byOrdinal = new Map<number, Stored<Pod>>();
  for (const pod of held) {
    const ordinal = ordinalOf(set, pod);
    if (ordinal !== undefined) byOrdinal.set(ordinal, pod);
  }
  const wanted = Array.from({ length: replicas }, (_, index) => start + index);
  const failed = wanted.flatMap((ordinal) => {
    const pod = byOrdinal.get(ordinal);
    return pod && isTerminal(pod) && !isTerminating(pod) ? [pod] : [];
  });
  // A pod that is over gives its name free first; the next look makes it anew.
  if (failed.length > 0) return { create: [], remove: failed, wait: done };

  const create: number[] = [];
  let waitMs: number | undefined;
  for (const ordinal of wanted) {
    const pod = byOrdinal.get(ordinal);
    if (!pod) create.push(ordinal);
    const leftMs = pod && !isTerminating(pod) ? availableInMs(pod, minReady, nowMs) : undefined;
    if (leftMs !== undefined && leftMs > 0) waitMs = Math.min(waitMs ?? leftMs, leftMs);
    if (leftMs !== 0 && !parallel) {
      return { create, remove: [], wait: waitMs === undefined ? done : requeueAfter(waitMs) };
    }
  }
  const surplus = [...byOrdinal]
    .filter(([ordinal]) => ordinal >= start + replicas || ordinal < start)
    .sort(([a], [b]) => b - a)
    .map(([, pod]) => pod);
  if (surplus.length > 0) {
    // From the top down, each gone before the next begins to go.
    if (parallel) return { create, remove: surplus.filter((pod) => !isTerminating(pod)), wait: done };
    const [top] = surplus;
    return { create, remove: top && !isTerminating(top) ? [top] : [], wait: done };
  }
  const outdated = create.length > 0 ? undefined : nextOutdated(set, wanted, byOrdinal, revisions);
  return {
    create,
    remove: outdated ? [outdated] : [],
    wait: waitMs === undefined ? done : requeueAfter(waitMs),
  };
}

/** The highest pod of an older template, where every pod above it is up to date and well. */
function nextOutdated(
  set: StatefulSet,
  wanted: readonly number[],
  byOrdinal: ReadonlyMap<number, Stored<Pod>>,
  revisions: Revisions,
): Stored<Pod> | undefined {
  if (set.spec?.updateStrategy?.type === 'OnDelete') return undefined;
  const partition = set.spec?.updateStrategy?.rollingUpdate?.partition ?? 0;
  for (const ordinal of wanted.toReversed()) {
    if (ordinal < partition) return undefined;
    const pod = byOrdinal.get(ordinal);
    if (!pod || isTerminating(pod)) return undefined;
    if (pod.metadata.labels?.[revisionHashLabel] !== hashOf(revisions.current)) return pod;
    if (!isReady(pod)) return undefined;
  }
  return undefined;
}

/** Below the partition a pod that was lost comes back with the template that the others there have. */
function createdHash(
  set: StatefulSet,
  ordinal: number,
  held: readonly Stored<Pod>[],
  revisions: Revisions,
): string {
  const partition = set.spec?.updateStrategy?.rollingUpdate?.partition ?? 0;
  const current = hashOf(revisions.current);
  if (ordinal >= partition) return current;
  const before = held
    .map((pod) => pod.metadata.labels?.[revisionHashLabel])
    .find((one) => one && one !== current);
  return before ?? current;
}

function podOf(set: Stored<StatefulSet>, ordinal: number, hash: string, revisions: Revisions): Pod {
  const older = revisions.old.find((one) => hashOf(one) === hash);
  const template = (older?.data as { spec?: { template?: object } } | undefined)?.spec?.template;
  if (!template) return statefulPod(set, ordinal, hashOf(revisions.current));
  const { $patch: _directive, ...spec } = template as Record<string, unknown>;
  return statefulPod({ ...set, spec: { ...set.spec, template: spec } as never }, ordinal, hash);
}

async function ensureClaims(
  { client, caches }: Environment,
  set: Stored<StatefulSet>,
  ordinal: number,
  signal: AbortSignal,
): Promise<void> {
  for (const claim of claimsOf(set, ordinal)) {
    if (caches.cache(PersistentVolumeClaims).get(refOf(claim))) continue;
    try {
      caches
        .cache(PersistentVolumeClaims)
        .remember(await client.create(PersistentVolumeClaims, claim, { signal }));
    } catch (error) {
      if (!isAlreadyExists(error)) throw error;
    }
  }
}

async function report(
  { client, caches, clock }: Environment,
  set: Stored<StatefulSet>,
  revisions: Revisions,
  signal: AbortSignal,
): Promise<void> {
  const active = caches
    .cache(Pods)
    .byIndex('controller', set.metadata.uid)
    .filter((pod) => ordinalOf(set, pod) !== undefined && isActive(pod));
  const updateHash = hashOf(revisions.current);
  const updated = active.filter((pod) => pod.metadata.labels?.[revisionHashLabel] === updateHash).length;
  const minReady = set.spec?.minReadySeconds ?? 0;
  const wanted = set.spec?.replicas ?? 1;
  const written = await writeStatus(
    client,
    StatefulSets,
    set,
    (now) => {
      const ready = active.filter(isReady).length;
      // The old revision stays the current one until every pod has the new one.
      const over = updated === wanted && ready === wanted;
      const currentRevision = over
        ? revisions.current.metadata.name
        : (now.status?.currentRevision ?? revisions.current.metadata.name);
      const same = currentRevision === revisions.current.metadata.name;
      return {
        ...now.status,
        replicas: active.length,
        readyReplicas: ready,
        availableReplicas: active.filter((pod) => availableInMs(pod, minReady, clock.now()) === 0).length,
        updatedReplicas: updated,
        currentReplicas: same ? updated : active.length - updated,
        currentRevision,
        updateRevision: revisions.current.metadata.name,
        observedGeneration: set.metadata.generation ?? 0,
      };
    },
    { signal },
  );
  if (written) caches.cache(StatefulSets).remember(written);
}

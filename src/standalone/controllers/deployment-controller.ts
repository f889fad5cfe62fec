import type { Deployment, ReplicaSet } from 'kubernetes-types/apps/v1.js';
import { Deployments, Pods, ReplicaSets } from '../../api/core.ts';
import { refOf, type Stored } from '../../api/resource.ts';
import { isDeleted } from '../../control/finalizer.ts';
import { done, requeueAfter, type Outcome } from '../../control/outcome.ts';
import type { ControllerSpec } from '../../control/reconciler.ts';
import { writeStatus } from '../../control/status.ts';
import { triggeredBy, triggeredByOwned } from '../../control/trigger.ts';
import { isAlreadyExists } from '../../kube/errors.ts';
import type { EventRecorder } from '../../kube/events.ts';
import { controllerOf, controllerReference, isControlledBy } from '../../kube/owner-reference.ts';
import { patchDifference, patchStatus } from '../../kube/patch.ts';
import { claimIndexes, claimObjects } from './claim.ts';
import {
  byAge,
  desiredWhenScaled,
  findNewReplicaSet,
  hashLabel,
  nextRevision,
  replicaSetAnnotations,
  revisionAnnotation,
  revisionOf,
} from './deployment-revision.ts';
import {
  newReplicaSetSize,
  oldReplicaSetSizes,
  proportionalSizes,
  rolloutLimits,
  type RolloutLimits,
} from './deployment-sizes.ts';
import { deadlineInMs, deploymentStatus, isComplete } from './deployment-status.ts';
import type { Environment } from './environment.ts';
import { isTerminal } from './pod-state.ts';
import { sameTemplate, templateHash } from './pod-template.ts';

/** Rolls each Deployment's template out through ReplicaSets. */
export function deploymentController(environment: Environment): ControllerSpec<Deployment> {
  const replicaSets = environment.caches.cache(ReplicaSets, {}, claimIndexes);
  environment.caches.cache(Pods, {}, claimIndexes);
  const events = environment.events('deployment-controller');
  return {
    resource: Deployments,
    concurrency: 4,
    triggers: [
      triggeredByOwned(ReplicaSets, 'Deployment'),
      // Recreate waits for the old pods to be gone, which no ReplicaSet's status says.
      triggeredBy(Pods, (pod) => {
        const owner = controllerOf(pod);
        if (owner?.kind !== 'ReplicaSet') return [];
        const { namespace } = pod.metadata;
        const deployment = controllerOf(replicaSets.get({ namespace, name: owner.name }) ?? {});
        return deployment?.kind === 'Deployment' ? [{ namespace, name: deployment.name }] : [];
      }),
    ],
    reconciler: {
      name: 'deployment',
      async reconcile(deployment, { signal }) {
        if (isDeleted(deployment)) return done;
        const all = await claimObjects(
          {
            client: environment.client,
            resource: ReplicaSets,
            cache: replicaSets,
            owner: deployment,
            selector: deployment.spec?.selector,
          },
          { signal },
        );
        return await rollout(environment, events, deployment, all, signal);
      },
    },
  };
}

interface Turn {
  readonly environment: Environment;
  readonly events: EventRecorder;
  readonly deployment: Stored<Deployment>;
  readonly limits: RolloutLimits;
  readonly signal: AbortSignal;
}

async function rollout(
  environment: Environment,
  events: EventRecorder,
  deployment: Stored<Deployment>,
  claimed: Stored<ReplicaSet>[],
  signal: AbortSignal,
): Promise<Outcome> {
  const limits = rolloutLimits(deployment);
  const turn: Turn = { environment, events, deployment, limits, signal };
  let all = claimed;
  let failure: Error | undefined;
  let created = false;
  try {
    const existing = findNewReplicaSet(deployment, all);
    if (deployment.spec?.paused || isScaling(deployment, all)) {
      all = await scaleAll(turn, all, existing);
    } else if (deployment.spec?.strategy?.type === 'Recreate') {
      all = await recreate(turn, all, existing);
    } else {
      all = await roll(turn, all, existing);
    }
    created = !existing && findNewReplicaSet(deployment, all) !== undefined;
  } catch (error) {
    if (signal.aborted) throw error;
    failure = error instanceof Error ? error : new Error(String(error));
  }
  const outcome = await report(turn, all, failure, created);
  if (failure) throw failure;
  return outcome;
}

/** The Deployment's size changed since its ReplicaSets were last sized. */
const isScaling = (deployment: Deployment, all: readonly ReplicaSet[]): boolean =>
  all
    .filter((one) => (one.spec?.replicas ?? 0) > 0)
    .some((one) => {
      const desired = desiredWhenScaled(one);
      return desired !== undefined && desired !== (deployment.spec?.replicas ?? 1);
    });

type ReplicaSetList = Stored<ReplicaSet>[];

async function roll(turn: Turn, all: ReplicaSetList, existing: Stored<ReplicaSet> | undefined) {
  let newest = await ensureNew(turn, all, existing);
  const old = all.filter((one) => one.metadata.uid !== newest.metadata.uid);
  newest = await resize(turn, newest, newReplicaSetSize(turn.limits, newest, [...old, newest]));
  const sizes = oldReplicaSetSizes(turn.limits, newest, old);
  return [newest, ...(await resizeAll(turn, old, sizes))];
}

async function recreate(turn: Turn, all: ReplicaSetList, existing: Stored<ReplicaSet> | undefined) {
  const old = all.filter((one) => one.metadata.uid !== existing?.metadata.uid);
  const none = new Map(old.map((one) => [one.metadata.uid, 0]));
  const emptied = await resizeAll(turn, old, none);
  const pods = turn.environment.caches.cache(Pods);
  // Not before the last old pod is gone, terminating ones included: they may hold a volume or a port.
  const waits = old.some((one) =>
    pods.byIndex('controller', one.metadata.uid).some((pod) => !isTerminal(pod)),
  );
  if (waits) return existing ? [existing, ...emptied] : emptied;
  const newest = await ensureNew(turn, all, existing);
  return [await resize(turn, newest, turn.limits.replicas), ...emptied];
}

/** Takes a new size to the ReplicaSets without moving the rollout. */
async function scaleAll(turn: Turn, all: ReplicaSetList, existing: Stored<ReplicaSet> | undefined) {
  const active = all.filter((one) => (one.spec?.replicas ?? 0) > 0);
  const [only] = active.length === 0 ? (existing ? [existing] : byAge(all).slice(-1)) : active;
  if (active.length <= 1) {
    if (!only) return all;
    return await resizeAll(turn, all, new Map([[only.metadata.uid, turn.limits.replicas]]));
  }
  return await resizeAll(turn, all, proportionalSizes(turn.limits, active));
}

/** The present template's ReplicaSet, made where there is none, with its revision and annotations. */
async function ensureNew(
  turn: Turn,
  all: ReplicaSetList,
  existing: Stored<ReplicaSet> | undefined,
): Promise<Stored<ReplicaSet>> {
  const { deployment, limits, environment, signal } = turn;
  const { client } = environment;
  const sizes = { desired: limits.replicas, max: limits.replicas + limits.maxSurge };
  const revision = nextRevision(all, existing);
  const annotations = replicaSetAnnotations(deployment, existing, revision, sizes);
  if (existing) {
    const { minReadySeconds = 0 } = deployment.spec ?? {};
    const wanted: ReplicaSet = {
      ...existing,
      metadata: { ...existing.metadata, annotations },
      spec: { ...existing.spec, selector: existing.spec?.selector ?? {}, minReadySeconds },
    };
    await stampRevision(turn, revision);
    return remember(turn, await patchDifference(client, ReplicaSets, existing, wanted, { signal }));
  }
  const made = await createNew(turn, all, annotations);
  await stampRevision(turn, revision);
  return made;
}

async function createNew(
  turn: Turn,
  all: ReplicaSetList,
  annotations: Record<string, string>,
): Promise<Stored<ReplicaSet>> {
  const { deployment, environment, signal, limits, events } = turn;
  const { client } = environment;
  const template = deployment.spec?.template;
  const hash = templateHash(template, deployment.status?.collisionCount ?? 0);
  const labels = { ...template?.metadata?.labels, [hashLabel]: hash };
  const metadata = {
    name: `${deployment.metadata.name}-${hash}`,
    namespace: deployment.metadata.namespace ?? '',
    labels,
    annotations,
    ownerReferences: [controllerReference(deployment)],
  };
  const selector = deployment.spec?.selector ?? {};
  const draft: ReplicaSet = {
    metadata,
    spec: {
      replicas: 0,
      minReadySeconds: deployment.spec?.minReadySeconds ?? 0,
      selector: { ...selector, matchLabels: { ...selector.matchLabels, [hashLabel]: hash } },
      template: { ...template, metadata: { ...template?.metadata, labels } },
    },
  };
  const room =
    deployment.spec?.strategy?.type === 'Recreate' ? limits.replicas : newReplicaSetSize(limits, draft, all);
  const spec = { ...draft.spec, selector: draft.spec?.selector ?? {}, replicas: room };
  try {
    const made = await client.create(ReplicaSets, { ...draft, spec }, { signal });
    if (room > 0) {
      events.event(
        deployment,
        'Normal',
        'ScalingReplicaSet',
        `Scaled up replica set ${metadata.name} from 0 to ${room}`,
      );
    }
    return remember(turn, made);
  } catch (error) {
    if (!isAlreadyExists(error)) throw error;
    const present = await client.get(
      ReplicaSets,
      { name: metadata.name, namespace: metadata.namespace },
      { signal },
    );
    if (
      present &&
      isControlledBy(present, deployment) &&
      sameTemplate(present.spec?.template, template, hashLabel)
    ) {
      return remember(turn, present); // Made by us, just not yet in the cache.
    }
    // Another template has this hash: a count in the status gives the next try another one.
    const collisionCount = (deployment.status?.collisionCount ?? 0) + 1;
    await patchStatus(client, Deployments, deployment, { ...deployment.status, collisionCount }, { signal });
    throw error;
  }
}

async function stampRevision(turn: Turn, revision: number): Promise<void> {
  const { deployment, environment, signal } = turn;
  if (deployment.metadata.annotations?.[revisionAnnotation] === String(revision)) return;
  const body = {
    metadata: { uid: deployment.metadata.uid, annotations: { [revisionAnnotation]: String(revision) } },
  };
  const written = await environment.client.patch(
    Deployments,
    refOf(deployment),
    { type: 'merge', body },
    { signal },
  );
  environment.caches.cache(Deployments).remember(written);
}

async function resizeAll(
  turn: Turn,
  replicaSets: ReplicaSetList,
  sizes: ReadonlyMap<string, number>,
): Promise<ReplicaSetList> {
  const resized: ReplicaSetList = [];
  for (const one of replicaSets) {
    resized.push(await resize(turn, one, sizes.get(one.metadata.uid) ?? one.spec?.replicas ?? 0));
  }
  return resized;
}

async function resize(turn: Turn, replicaSet: Stored<ReplicaSet>, size: number): Promise<Stored<ReplicaSet>> {
  const { deployment, limits, events, environment, signal } = turn;
  const before = replicaSet.spec?.replicas ?? 0;
  const sizes = { desired: limits.replicas, max: limits.replicas + limits.maxSurge };
  const annotations =
    before === 0 && size === 0
      ? replicaSet.metadata.annotations
      : replicaSetAnnotations(deployment, replicaSet, undefined, sizes);
  const wanted: ReplicaSet = {
    ...replicaSet,
    metadata: { ...replicaSet.metadata, ...(annotations ? { annotations } : {}) },
    spec: { ...replicaSet.spec, selector: replicaSet.spec?.selector ?? {}, replicas: size },
  };
  const written = await patchDifference(environment.client, ReplicaSets, replicaSet, wanted, {
    signal,
    ifUnchanged: true,
  });
  if (size !== before) {
    const { name } = replicaSet.metadata;
    const message = `Scaled ${size > before ? 'up' : 'down'} replica set ${name} from ${before} to ${size}`;
    events.event(deployment, 'Normal', 'ScalingReplicaSet', message);
  }
  return remember(turn, written);
}

function remember(turn: Turn, replicaSet: Stored<ReplicaSet>): Stored<ReplicaSet> {
  turn.environment.caches.cache(ReplicaSets).remember(replicaSet);
  return replicaSet;
}

async function report(
  turn: Turn,
  all: ReplicaSetList,
  failure: Error | undefined,
  created: boolean,
): Promise<Outcome> {
  const { deployment, limits, environment, signal } = turn;
  const { client, clock } = environment;
  const newest = findNewReplicaSet(deployment, all);
  const statusOf = (current: Stored<Deployment>) =>
    deploymentStatus({ deployment: current, all, newest, limits, nowMs: clock.now(), failure, created });
  const written = await writeStatus(client, Deployments, deployment, statusOf, { signal });
  if (!written) return done;
  environment.caches.cache(Deployments).remember(written);
  if (isComplete({ deployment, all, newest, limits }, written.status ?? {})) await cleanUp(turn, all, newest);
  const leftMs = deadlineInMs(written, clock.now());
  return leftMs === undefined ? done : requeueAfter(leftMs + 1_000);
}

/** Removes the oldest empty ReplicaSets past the history limit. */
async function cleanUp(
  turn: Turn,
  all: ReplicaSetList,
  newest: Stored<ReplicaSet> | undefined,
): Promise<void> {
  const limit = turn.deployment.spec?.revisionHistoryLimit ?? 10;
  const old = all.filter((one) => one.metadata.uid !== newest?.metadata.uid);
  const empty = old
    .filter((one) => (one.spec?.replicas ?? 0) === 0 && (one.status?.replicas ?? 0) === 0 && !isDeleted(one))
    .sort((a, b) => revisionOf(a) - revisionOf(b));
  for (const one of empty.slice(0, Math.max(0, old.length - limit))) {
    const { uid, resourceVersion } = one.metadata;
    await turn.environment.client.delete(ReplicaSets, refOf(one), {
      signal: turn.signal,
      uid,
      resourceVersion,
    });
  }
}

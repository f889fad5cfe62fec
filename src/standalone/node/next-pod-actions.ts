import type { Container, Pod } from 'kubernetes-types/core/v1.js';
import { newestContainer, type ObservedContainer, type ObservedPod } from './observed.ts';

/**
 * One step towards what the pod's spec says. Steps of one answer are taken in order; only the mounts and the
 * sandbox have nothing of each other, and are prepared at once.
 */
export type PodAction =
  | { readonly kind: 'mount-volumes' }
  | { readonly kind: 'run-sandbox'; readonly attempt: number }
  | {
      readonly kind: 'start-container';
      readonly name: string;
      readonly sandboxId: string;
      readonly attempt: number;
    }
  | { readonly kind: 'stop-containers'; readonly stops: readonly ContainerStop[] }
  | { readonly kind: 'remove-container'; readonly id: string }
  | { readonly kind: 'stop-sandboxes'; readonly ids: readonly string[] }
  | { readonly kind: 'unmount-volumes' }
  | { readonly kind: 'remove-sandboxes'; readonly ids: readonly string[] }
  | { readonly kind: 'remove-files' }
  | { readonly kind: 'delete-object' };

export interface ContainerStop {
  readonly id: string;
  readonly name: string;
  /** Seconds between TERM and KILL. */
  readonly graceSeconds: number;
  /** For the Killing event. */
  readonly message: string;
  /** 0 stops first; sidecars have a later round each, in reverse order of their start. */
  readonly round: number;
}

/** Everything the decision needs besides the spec. No clock, no I/O. */
export interface PodSituation {
  readonly nowMs: number;
  readonly runtime: ObservedPod;
  /** The worker has seen every volume mounted since it started. */
  readonly volumesMounted: boolean;
  /** Something of the pod's volumes or files is still on disk. */
  readonly volumesOnDisk: boolean;
  readonly filesOnDisk: boolean;
  /** After a failure, nothing of this sort is tried before; 0 where none failed. */
  readonly volumesHeldUntilMs?: number | undefined;
  readonly sandboxHeldUntilMs?: number | undefined;
  /** Start failures by container name. */
  readonly startHeldUntilMs: ReadonlyMap<string, number>;
  /** Crash-loop backoff of a container that ended at `finishedAtMs`. */
  crashHeldUntilMs(name: string, finishedAtMs: number): number | undefined;
  /** Its startup probe has passed, or it has none. */
  started(container: ObservedContainer): boolean;
  /** Containers that a probe has condemned, by id, with the message for the event. */
  readonly condemned: ReadonlyMap<string, string>;
  /** All containers are over for good: Succeeded, Failed, or evicted. */
  readonly terminal: boolean;
  /** The object is gone from the API, or about to be. */
  readonly deleted: boolean;
  readonly graceSeconds: number;
}

export interface PodDecision {
  readonly actions: readonly PodAction[];
  /** When to decide again even where nothing changes. */
  readonly wakeAtMs?: number;
}

const unhealthyGraceSeconds = 30;

export const isSidecar = (container: Container): boolean => container.restartPolicy === 'Always';

const isAlive = (container: ObservedContainer): boolean =>
  container.state === 'running' || container.state === 'unknown';

/** What to do next for one pod: a pure function of its spec and of what is there. */
export function nextPodActions(pod: Pod, situation: PodSituation): PodDecision {
  if (situation.deleted || situation.terminal) return stopping(pod, situation);
  const { runtime } = situation;
  const ready = runtime.sandboxes.filter((sandbox) => sandbox.ready);
  const [sandbox, ...doubles] = ready;
  const actions: PodAction[] = [];
  const wakes: number[] = [];
  if (doubles.length > 0) actions.push({ kind: 'stop-sandboxes', ids: doubles.map((one) => one.id) });

  const lost = runtime.containers.filter((one) => isAlive(one) && one.sandboxId !== sandbox?.id);
  if (lost.length > 0) {
    const stops = lost.map((one) =>
      stopOf(one, 2, 'Pod sandbox changed, it will be killed and re-created.', 0),
    );
    return { actions: [...actions, { kind: 'stop-containers', stops }] };
  }
  let startable = true;
  if (!situation.volumesMounted) {
    startable = false;
    const heldUntilMs = situation.volumesHeldUntilMs ?? 0;
    if (heldUntilMs > situation.nowMs) wakes.push(heldUntilMs);
    else actions.push({ kind: 'mount-volumes' });
    // One that failed may go on failing: meanwhile the pod keeps no sandbox, with an address that nobody serves.
    if (heldUntilMs > 0 && runtime.containers.length === 0)
      return decision([...unusedSandbox(sandbox?.id), ...actions], wakes);
  }
  if (!sandbox) {
    // Not after the mounts: an attach takes as long as the sandbox, and only containers need both.
    if (wantsSandbox(pod, runtime)) {
      const heldUntilMs = situation.sandboxHeldUntilMs ?? 0;
      if (heldUntilMs > situation.nowMs) wakes.push(heldUntilMs);
      else {
        const attempt = Math.max(-1, ...runtime.sandboxes.map((one) => one.attempt)) + 1;
        actions.push({ kind: 'run-sandbox', attempt });
      }
    }
    return decision(actions, wakes);
  }
  const round = containerRound(pod, situation, sandbox.id, wakes);
  actions.push(...round.filter((action) => startable || action.kind !== 'start-container'));
  return decision(actions, wakes);
}

const unusedSandbox = (id: string | undefined): PodAction[] =>
  id === undefined
    ? []
    : [
        { kind: 'stop-sandboxes', ids: [id] },
        { kind: 'remove-sandboxes', ids: [id] },
      ];

function decision(actions: readonly PodAction[], wakes: readonly number[]): PodDecision {
  return wakes.length === 0 ? { actions } : { actions, wakeAtMs: Math.min(...wakes) };
}

function stopOf(
  container: ObservedContainer,
  graceSeconds: number,
  message: string,
  round: number,
): ContainerStop {
  return { id: container.id, name: container.name, graceSeconds, message, round };
}

/** A pod whose containers are all over for good needs no new sandbox, for instance after a power cut. */
function wantsSandbox(pod: Pod, runtime: ObservedPod): boolean {
  const policy = pod.spec?.restartPolicy ?? 'Always';
  const mains = pod.spec?.containers ?? [];
  if (policy === 'Always' || runtime.sandboxes.length === 0) return true;
  if (policy === 'Never')
    return !runtime.containers.some((one) => mains.some(({ name }) => name === one.name));
  return mains.some(({ name }) => {
    const newest = newestContainer(runtime, name);
    return newest?.exitCode !== 0;
  });
}

function containerRound(
  pod: Pod,
  situation: PodSituation,
  sandboxId: string,
  wakes: number[],
): readonly PodAction[] {
  const actions: PodAction[] = [];
  const spec = pod.spec;
  const policy = spec?.restartPolicy ?? 'Always';
  const mains = spec?.containers ?? [];
  const { runtime } = situation;
  const step = (container: Container, restarts: (exitCode: number) => boolean) =>
    actions.push(...containerStep(pod, container, situation, sandboxId, restarts, wakes));

  // A main container in this sandbox proves that the init containers were done once: they do not run again.
  const initialized = mains.some(({ name }) => newestContainer(runtime, name, sandboxId) !== undefined);
  for (const container of spec?.initContainers ?? []) {
    const newest = newestContainer(runtime, container.name, sandboxId);
    if (isSidecar(container)) {
      step(container, () => true);
      const up = newest?.state === 'running' && situation.started(newest);
      if (!up && !initialized) return actions;
      continue;
    }
    if (initialized || (newest?.state === 'exited' && newest.exitCode === 0)) continue;
    step(container, () => policy !== 'Never');
    return actions;
  }
  for (const container of mains)
    step(container, (exitCode) => policy === 'Always' || (policy === 'OnFailure' && exitCode !== 0));
  return actions;
}

function containerStep(
  pod: Pod,
  container: Container,
  situation: PodSituation,
  sandboxId: string,
  restarts: (exitCode: number) => boolean,
  wakes: number[],
): readonly PodAction[] {
  const { name } = container;
  const newest = newestContainer(situation.runtime, name, sandboxId);
  if (newest?.state === 'running') {
    const message = situation.condemned.get(newest.id);
    if (message === undefined) return [];
    const probe = container.livenessProbe ?? container.startupProbe;
    const graceSeconds =
      probe?.terminationGracePeriodSeconds ??
      pod.spec?.terminationGracePeriodSeconds ??
      unhealthyGraceSeconds;
    return [{ kind: 'stop-containers', stops: [stopOf(newest, graceSeconds, message, 0)] }];
  }
  if (newest?.state === 'unknown')
    return [
      {
        kind: 'stop-containers',
        stops: [stopOf(newest, 2, `Container ${name} is in unknown state, try killing it before restart`, 0)],
      },
    ];
  // Created and never started: the node process died in between. Its name must be free again.
  if (newest?.state === 'created') return [{ kind: 'remove-container', id: newest.id }];
  const before = newest ?? newestContainer(situation.runtime, name);
  // With a new sandbox, a container that had ended well under OnFailure stays ended.
  if (before && !restarts(before.exitCode ?? 255)) return [];
  const heldUntilMs = Math.max(
    situation.startHeldUntilMs.get(name) ?? 0,
    newest ? (situation.crashHeldUntilMs(name, newest.finishedAtMs ?? newest.createdAtMs) ?? 0) : 0,
  );
  if (heldUntilMs > situation.nowMs) {
    wakes.push(heldUntilMs);
    return [];
  }
  return [{ kind: 'start-container', name, sandboxId, attempt: nextAttempt(pod, situation.runtime, name) }];
}

/** One more than the newest; the API's count goes on where the runtime has lost its memory. */
function nextAttempt(pod: Pod, runtime: ObservedPod, name: string): number {
  const attempts = runtime.containers.filter((one) => one.name === name).map((one) => one.attempt);
  if (attempts.length > 0) return Math.max(...attempts) + 1;
  const status = [
    ...(pod.status?.containerStatuses ?? []),
    ...(pod.status?.initContainerStatuses ?? []),
  ].find((one) => one.name === name);
  return status?.containerID ? status.restartCount + 1 : 0;
}

function stopping(pod: Pod, situation: PodSituation): PodDecision {
  const { runtime, graceSeconds } = situation;
  const alive = runtime.containers.filter(isAlive);
  if (alive.length > 0) {
    const sidecars = (pod.spec?.initContainers ?? []).filter(isSidecar).map(({ name }) => name);
    const stops = alive.map((one) => {
      const order = sidecars.indexOf(one.name);
      const round = order < 0 ? 0 : sidecars.length - order;
      return stopOf(one, graceSeconds, `Stopping container ${one.name}`, round);
    });
    return { actions: [{ kind: 'stop-containers', stops }] };
  }
  const ready = runtime.sandboxes.filter((sandbox) => sandbox.ready).map((sandbox) => sandbox.id);
  if (ready.length > 0) return { actions: [{ kind: 'stop-sandboxes', ids: ready }] };
  if (situation.volumesOnDisk) {
    const heldUntilMs = situation.volumesHeldUntilMs ?? 0;
    if (heldUntilMs > situation.nowMs) return { actions: [], wakeAtMs: heldUntilMs };
    return { actions: [{ kind: 'unmount-volumes' }] };
  }
  // A pod that has merely finished keeps its dead containers: people read their logs and exit codes.
  if (!situation.deleted) return { actions: [] };
  const leftovers = runtime.sandboxes.map((sandbox) => sandbox.id);
  if (leftovers.length > 0) return { actions: [{ kind: 'remove-sandboxes', ids: leftovers }] };
  if (situation.filesOnDisk) return { actions: [{ kind: 'remove-files' }] };
  return { actions: [{ kind: 'delete-object' }] };
}

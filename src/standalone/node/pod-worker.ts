import type { Pod } from 'kubernetes-types/core/v1.js';
import { Pods } from '../../api/core.ts';
import type { Stored } from '../../api/resource.ts';
import type { KubeClient } from '../../kube/client.ts';
import { isNotFound } from '../../kube/errors.ts';
import { patchStatus } from '../../kube/patch.ts';
import { isLater } from '../../kube/resource-version.ts';
import { backoffMs } from '../../lib/backoff.ts';
import type { Clock } from '../../lib/clock.ts';
import type { Logger } from '../../lib/log.ts';
import { nextPodActions, type PodAction, type PodSituation } from './next-pod-actions.ts';
import { emptyPod, newestContainer, type ObservedPod } from './observed.ts';
import { specOf, type PodEffects } from './pod-effects.ts';
import { isTerminalPhase } from './pod-phase.ts';
import { podStatus, type WaitingNote } from './pod-status.ts';
import type { PodProbes } from './probes.ts';
import type { RestartBackoff } from './restart-backoff.ts';
import { isStartError } from './start-error.ts';
import { startHolds } from './start-holds.ts';
import { terminationMessage } from './termination-message.ts';
import type { PodVolumeMap, PodVolumes } from './volumes/pod-volumes.ts';

export interface PodWorkerDeps {
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly log: Logger;
  readonly nodeIp: string;
  readonly kubeletRoot: string;
  readonly effects: PodEffects;
  readonly volumes: PodVolumes;
  readonly backoff: RestartBackoff;
  probes(pod: () => Pod, podIp: () => string, wake: () => void): PodProbes;
  /** What the runtime has of this pod; `refresh` looks anew. */
  observed(uid: string): ObservedPod | undefined;
  refresh(signal: AbortSignal): Promise<void>;
  event(pod: Pod, type: 'Normal' | 'Warning', reason: string, message: string): void;
}

/** Brings one pod to its spec and its end; one thing at a time. */
export interface PodWorker {
  readonly uid: string;
  readonly pod: Pod;
  /** The newest object of the API, or undefined once it is gone. */
  update(pod: Stored<Pod> | undefined): void;
  /** Something that the pod depends on changed: look again, without waiting out a failed mount. */
  wake(referenceChanged?: boolean): void;
  /** Resolves when nothing of the pod is left here, or the signal aborted. */
  run(signal: AbortSignal): Promise<void>;
}

const refreshMs = 75_000;
const volumeRetry = { baseMs: 500, maxMs: 120_000 };
const sandboxRetry = { baseMs: 1_000, maxMs: 60_000 };
const failureRetry = { baseMs: 1_000, maxMs: 60_000 };
const vanishedGraceSeconds = 2;
const defaultGraceSeconds = 30;

interface Retry {
  failures: number;
  untilMs: number;
}

export function podWorker(uid: string, first: Stored<Pod> | undefined, deps: PodWorkerDeps): PodWorker {
  const { clock, effects, volumes, backoff } = deps;
  let current: Stored<Pod> | undefined = first;
  let last: Pod = first ?? strangerOf(uid, deps.observed(uid));
  let mounted: PodVolumeMap | undefined;
  let refreshAtMs = clock.now() + refreshMs;
  let asleep: AbortController | undefined;
  let dirty = false;
  let effect:
    | { readonly abort: AbortController; readonly stopping: boolean; readonly grace: number }
    | undefined;
  const volumeRetries: Retry = { failures: 0, untilMs: 0 };
  const sandboxRetries: Retry = { failures: 0, untilMs: 0 };
  const otherRetries: Retry = { failures: 0, untilMs: 0 };
  const holds = startHolds(clock);
  const messages = new Map<string, string>();
  const loops = new Map<string, string>();
  let lastActions = '';

  const podIp = () =>
    last.spec?.hostNetwork ? deps.nodeIp : (runtimeOf().sandboxes[0]?.ips[0] ?? deps.nodeIp);
  const runtimeOf = () =>
    deps.observed(uid) ?? emptyPod(uid, last.metadata?.namespace ?? '', last.metadata?.name ?? '');
  const wake = () => {
    dirty = true;
    asleep?.abort();
  };
  const probes = deps.probes(() => last, podIp, wake);
  const fail = (retry: Retry, options: { baseMs: number; maxMs: number }) => {
    retry.untilMs = clock.now() + backoffMs(retry.failures++, options);
  };
  const isDeleted = () => current === undefined || current.metadata.deletionTimestamp !== undefined;
  const graceSeconds = () =>
    current === undefined
      ? vanishedGraceSeconds
      : (current.metadata.deletionGracePeriodSeconds ??
        current.spec?.terminationGracePeriodSeconds ??
        defaultGraceSeconds);

  const situation = async (): Promise<PodSituation> => {
    const runtime = runtimeOf();
    const deleted = isDeleted();
    const terminal = isTerminalPhase(last.status?.phase);
    const ending = deleted || terminal;
    return {
      nowMs: clock.now(),
      runtime,
      volumesMounted: mounted !== undefined,
      volumesOnDisk: ending && (await volumes.isOnDisk(uid)),
      filesOnDisk: deleted && (await volumes.hasFiles(uid)),
      volumesHeldUntilMs: volumeRetries.untilMs,
      sandboxHeldUntilMs: sandboxRetries.untilMs,
      startHeldUntilMs: holds.untilMs(),
      crashHeldUntilMs: (name, finishedAtMs) =>
        backoff.heldUntilMs(`${uid}/${name}`, finishedAtMs, clock.now()),
      started: (container) => probes.started(container),
      condemned: probes.condemned,
      terminal,
      deleted,
      graceSeconds: graceSeconds(),
    };
  };

  const readLastWords = async (runtime: ObservedPod) => {
    for (const container of runtime.containers) {
      if (container.state !== 'exited' || messages.has(container.id)) continue;
      messages.set(
        container.id,
        await terminationMessage(deps.kubeletRoot, uid, specOf(last, container.name), container),
      );
    }
    for (const id of messages.keys())
      if (!runtime.containers.some((one) => one.id === id)) messages.delete(id);
  };

  const writeStatus = async (runtime: ObservedPod, signal: AbortSignal) => {
    if (!current) return;
    await readLastWords(runtime);
    const waiting = holds.waiting(current, runtime, (name, at) =>
      backoff.heldUntilMs(`${uid}/${name}`, at, clock.now()),
    );
    tellCrashLoops(waiting, runtime);
    const status = podStatus({
      pod: current,
      runtime,
      nowMs: clock.now(),
      hostIp: deps.nodeIp,
      waiting,
      terminationMessages: messages,
      ready: (container) => probes.ready(container),
      started: (container) => probes.started(container),
    });
    try {
      const wanted = { ...current.status, ...status };
      const written = await patchStatus(deps.client, Pods, current, wanted, { signal });
      if (current?.metadata.uid === written.metadata.uid) adopt(written);
    } catch (error) {
      if (!isNotFound(error)) throw error; // It is gone: the watch will say so.
    }
  };

  const tellCrashLoops = (waiting: ReadonlyMap<string, WaitingNote>, runtime: ObservedPod) => {
    for (const [name, note] of waiting) {
      const id = newestContainer(runtime, name)?.id;
      if (note.reason !== 'CrashLoopBackOff' || id === undefined || loops.get(name) === id) continue;
      loops.set(name, id);
      const text = `Back-off restarting failed container ${name} in pod ${last.metadata?.name}_${last.metadata?.namespace}(${uid})`;
      deps.event(last, 'Warning', 'BackOff', text);
    }
  };

  const adopt = (pod: Stored<Pod>) => {
    current = pod;
    last = pod;
  };

  /** One action; a failure is noted and ends the round. */
  const perform = async (action: PodAction, signal: AbortSignal): Promise<boolean> => {
    const runtime = runtimeOf();
    switch (action.kind) {
      case 'mount-volumes':
        return await attempt(volumeRetries, volumeRetry, 'FailedMount', async () => {
          mounted = await volumes.setup(last, signal);
        });
      case 'run-sandbox':
        return await attempt(
          sandboxRetries,
          sandboxRetry,
          'FailedCreatePodSandBox',
          () => effects.runSandbox(last, action.attempt, signal),
          'Failed to create pod sandbox: ',
        );
      case 'start-container':
        return await startContainer(action, runtime, signal);
      case 'stop-containers':
        await effects.stopContainers(last, action.stops, podIp(), signal);
        return true;
      case 'remove-container':
        await effects.removeContainer(action.id, signal);
        return true;
      case 'stop-sandboxes':
        await effects.stopSandboxes(action.ids, signal);
        return true;
      case 'unmount-volumes':
        mounted = undefined;
        return await attempt(volumeRetries, volumeRetry, 'FailedUnMount', () =>
          volumes.teardown(uid, signal),
        );
      case 'remove-sandboxes':
        await effects.removeSandboxes(last, action.ids, signal);
        return true;
      case 'remove-files':
        await volumes.removeFiles(uid);
        return true;
      case 'delete-object':
        return true; // The loop does this one: it is its end.
    }
  };

  const attempt = async (
    retry: Retry,
    options: { baseMs: number; maxMs: number },
    reason: string,
    body: () => Promise<void>,
    prefix = '',
  ): Promise<boolean> => {
    try {
      await body();
      retry.failures = 0;
      retry.untilMs = 0;
      return true;
    } catch (err) {
      if (effect?.abort.signal.aborted) throw err;
      fail(retry, options);
      deps.log.warn({ cause: (err as Error).message, pod: nameOf(last), reason }, 'a step of a pod failed');
      deps.event(last, 'Warning', reason, prefix + (err as Error).message);
      return false;
    }
  };

  const startContainer = async (
    action: Extract<PodAction, { kind: 'start-container' }>,
    runtime: ObservedPod,
    signal: AbortSignal,
  ): Promise<boolean> => {
    const sandbox = runtime.sandboxes.find((one) => one.id === action.sandboxId);
    if (!sandbox || !mounted) return false;
    if (runtime.containers.some((one) => one.name === action.name && one.sandboxId === action.sandboxId))
      backoff.restarted(`${uid}/${action.name}`, clock.now());
    try {
      await effects.startContainer(
        {
          pod: last,
          name: action.name,
          attempt: action.attempt,
          sandboxId: action.sandboxId,
          sandboxAttempt: sandbox.attempt,
          podIps: last.spec?.hostNetwork ? [deps.nodeIp] : sandbox.ips,
          volumes: mounted,
        },
        signal,
      );
      holds.started(action.name);
    } catch (error) {
      if (!isStartError(error)) throw error;
      const image = specOf(last, action.name)?.image ?? '';
      holds.failed(action.name, image, error);
      if (error.reason === 'ErrImagePull')
        deps.event(last, 'Normal', 'BackOff', `Back-off pulling image "${image}"`);
    }
    return true; // The others of the pod are none the worse for it.
  };

  /** Decides and acts once. Answers how long to sleep, or undefined where the pod has ended. */
  const turn = async (signal: AbortSignal): Promise<number | undefined> => {
    await deps.refresh(signal);
    const runtime = runtimeOf();
    if (!isDeleted()) probes.sync(last, runtime);
    await writeStatus(runtime, signal);
    const seen = await situation();
    const { actions, wakeAtMs } = nextPodActions(last, seen);
    if (actions.some((action) => action.kind === 'delete-object')) {
      await deleteObject(signal);
      return undefined;
    }
    for (const action of actions) {
      effect = { abort: new AbortController(), stopping: seen.deleted, grace: seen.graceSeconds };
      const own = AbortSignal.any([signal, effect.abort.signal]);
      try {
        if (!(await perform(action, own))) break;
      } catch (err) {
        signal.throwIfAborted();
        if (own.aborted) return 0; // Interrupted: what there is to do has changed.
        throw err;
      } finally {
        effect = undefined;
      }
    }
    if (actions.length > 0) {
      // An action that changed nothing must not be repeated without a pause.
      const same = JSON.stringify(actions) === lastActions;
      lastActions = JSON.stringify(actions);
      if (!same) return 0;
      fail(otherRetries, failureRetry);
      return otherRetries.untilMs - clock.now();
    }
    lastActions = '';
    otherRetries.failures = 0;
    await refreshVolumes(signal);
    const nowMs = clock.now();
    const wakes = [wakeAtMs, holds.nextChangeMs(), refreshAtMs];
    return Math.max(0, Math.min(...wakes.filter((one) => one !== undefined)) - nowMs);
  };

  const refreshVolumes = async (signal: AbortSignal) => {
    if (clock.now() < refreshAtMs || mounted === undefined) {
      if (clock.now() >= refreshAtMs) refreshAtMs = clock.now() + refreshMs;
      return;
    }
    refreshAtMs = clock.now() + refreshMs;
    try {
      await volumes.refresh(last, signal);
    } catch (err) {
      signal.throwIfAborted();
      deps.event(last, 'Warning', 'FailedMount', (err as Error).message);
    }
  };

  const deleteObject = async (signal: AbortSignal) => {
    if (!current) return;
    const ref = { namespace: current.metadata.namespace, name: current.metadata.name };
    await deps.client.delete(Pods, ref, { signal, gracePeriodSeconds: 0, uid }).catch((error: unknown) => {
      if (!isNotFound(error)) throw error;
    });
  };

  return {
    uid,
    get pod() {
      return last;
    },
    update(pod) {
      if (pod && current && !isLater(pod.metadata.resourceVersion, current.metadata.resourceVersion)) return;
      current = pod;
      if (pod) last = pod;
      // What brings the pod up is cut short by its deletion, and its stop by a shorter grace.
      if (effect && isDeleted() && (!effect.stopping || graceSeconds() < effect.grace)) effect.abort.abort();
      wake();
    },
    wake(referenceChanged = false) {
      if (referenceChanged) {
        volumeRetries.failures = 0;
        volumeRetries.untilMs = 0;
        refreshAtMs = 0;
        holds.retryConfig();
      }
      wake();
    },
    async run(signal) {
      try {
        while (!signal.aborted) {
          dirty = false;
          let sleepMs: number | undefined;
          try {
            sleepMs = await turn(signal);
          } catch (err) {
            if (signal.aborted) return;
            fail(otherRetries, failureRetry);
            deps.log.warn({ err, pod: nameOf(last) }, 'a turn of a pod failed');
            sleepMs = Math.max(0, otherRetries.untilMs - clock.now());
          }
          if (sleepMs === undefined) return;
          asleep = new AbortController();
          const both = AbortSignal.any([signal, asleep.signal]);
          if (!dirty && sleepMs > 0) await clock.sleep(sleepMs, both).catch(() => undefined);
        }
      } finally {
        probes.stop();
        for (const { name } of [...(last.spec?.containers ?? []), ...(last.spec?.initContainers ?? [])])
          backoff.forget(`${uid}/${name}`);
      }
    },
  };
}

const nameOf = (pod: Pod): string => `${pod.metadata?.namespace}/${pod.metadata?.name}`;

/** A pod of which only the runtime, or the disk, still knows. */
function strangerOf(uid: string, observed: ObservedPod | undefined): Pod {
  const { name = '', namespace = '' } = observed ?? {};
  return { apiVersion: 'v1', kind: 'Pod', metadata: { uid, name, namespace }, spec: { containers: [] } };
}

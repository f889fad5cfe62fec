import type { Pod } from 'kubernetes-types/core/v1.js';
import { Pods } from '../../api/core.ts';
import { refOf, type Stored } from '../../api/resource.ts';
import { isLater } from '../../kube/resource-version.ts';
import { nextPodActions, type PodAction, type PodSituation } from './next-pod-actions.ts';
import type { ObservedPod } from './observed.ts';
import { isTerminalPhase } from './pod-phase.ts';
import {
  graceSecondsOf,
  isDeleted,
  podLabel,
  podRecord,
  refreshMs,
  runtimeOf,
  type PodRecord,
} from './pod-record.ts';
import { podReporter, type PodReporter, type PodReporterDeps } from './pod-reporter.ts';
import { backoffKey, podIpOf, podSteps, type PodSteps, type PodStepsDeps } from './pod-steps.ts';
import type { PodProbes } from './probes.ts';
import { isVolumeResizeError } from './volumes/pod-volumes.ts';
import { linkedAbort, wakeableSleep, type WakeableSleep } from './wakeable-sleep.ts';

export interface PodWorkerDeps
  extends PodStepsDeps, Omit<PodReporterDeps, 'probes' | 'crashHeldUntilMs' | 'clock' | 'nodeIp' | 'event'> {
  probes(pod: () => Pod, podIp: () => string, wake: () => void): PodProbes;
  /** What the runtime has of this pod; `refresh` looks anew. */
  observed(uid: string): ObservedPod | undefined;
  refresh(signal: AbortSignal): Promise<void>;
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

/** A step under way, so that a deletion can cut it short. */
interface Effect {
  readonly abort: AbortController;
  readonly stopping: boolean;
  readonly graceSeconds: number;
}

interface Parts {
  readonly deps: PodWorkerDeps;
  readonly record: PodRecord;
  readonly probes: PodProbes;
  readonly reporter: PodReporter;
  readonly steps: PodSteps;
  /** What was done in the turn before, to see a step that changes nothing. */
  lastActions: string;
  effect: Effect | undefined;
}

export function podWorker(uid: string, first: Stored<Pod> | undefined, deps: PodWorkerDeps): PodWorker {
  const { clock, backoff } = deps;
  const record = podRecord(uid, first, deps.observed(uid), clock);
  let pause: WakeableSleep | undefined;
  const wake = () => pause?.wake();
  const podIp = () => podIpOf(record.last, runtimeOf(record, deps.observed(uid)), deps.nodeIp);
  const probes = deps.probes(() => record.last, podIp, wake);
  const crashHeldUntilMs = (name: string, finishedAtMs: number) =>
    backoff.heldUntilMs(backoffKey(uid, name), finishedAtMs, clock.now());
  const reporter = podReporter({ ...deps, probes, crashHeldUntilMs });
  const parts: Parts = {
    deps,
    record,
    probes,
    reporter,
    steps: podSteps(deps),
    lastActions: '',
    effect: undefined,
  };

  return {
    uid,
    get pod() {
      return record.last;
    },
    update(pod) {
      const { current } = record;
      if (pod && current && !isLater(pod.metadata.resourceVersion, current.metadata.resourceVersion)) return;
      record.current = pod;
      if (pod) record.last = pod;
      const { effect } = parts;
      // What brings the pod up is cut short by its deletion, and its stop by a shorter grace.
      if (effect && isDeleted(record) && (!effect.stopping || graceSecondsOf(record) < effect.graceSeconds))
        effect.abort.abort();
      wake();
    },
    wake(referenceChanged = false) {
      if (referenceChanged) {
        record.volumes.now();
        record.refreshAtMs = 0;
        record.holds.retryConfig();
      }
      wake();
    },
    async run(signal) {
      using own = wakeableSleep(clock, signal);
      pause = own;
      try {
        while (!signal.aborted) {
          own.arm();
          const sleepMs = await turnSafely(parts, signal);
          if (sleepMs === undefined) return;
          await own.sleep(sleepMs);
        }
      } finally {
        probes.stop();
        for (const { name } of allContainers(record.last)) backoff.forget(backoffKey(uid, name));
      }
    },
  };
}

const allContainers = ({ spec }: Pod) => [...(spec?.containers ?? []), ...(spec?.initContainers ?? [])];

async function turnSafely(parts: Parts, signal: AbortSignal): Promise<number | undefined> {
  const { deps, record } = parts;
  try {
    return await turn(parts, signal);
  } catch (err) {
    if (signal.aborted) return undefined;
    record.turns.failed();
    deps.log.warn({ err, pod: podLabel(record.last) }, 'a turn of a pod failed');
    return Math.max(0, record.turns.untilMs - deps.clock.now());
  }
}

/** Looks, tells, decides and acts once. Answers how long to sleep, or undefined where the pod has ended. */
async function turn(parts: Parts, signal: AbortSignal): Promise<number | undefined> {
  const { deps, record, probes, reporter } = parts;
  await deps.refresh(signal);
  const runtime = runtimeOf(record, deps.observed(record.uid));
  if (!isDeleted(record)) probes.sync(record.last, runtime);
  // Told while it is acted on: neither waits for the other, and with the API away a crashed container is
  // restarted all the same.
  const reporting = reporter.report(record, runtime, signal).then(
    () => undefined,
    (error: unknown) => error,
  );
  const situation = await situationOf(parts, runtime);
  const { actions, wakeAtMs } = nextPodActions(record.last, situation);
  const ended = actions.some((action) => action.kind === 'delete-object');
  const interrupted = !ended && (await act(parts, situation, actions, signal));
  const untold = await reporting;
  signal.throwIfAborted();
  if (ended) {
    await deleteObject(parts, signal);
    return undefined;
  }
  // What was told may be that the pod is over: then there is more to do.
  if (interrupted || situation.terminal !== isTerminal(record)) return 0;
  if (actions.length > 0 && !repeats(parts, actions)) return 0;
  if (untold !== undefined) throw untold;
  if (actions.length > 0) {
    record.turns.failed();
    return record.turns.untilMs - deps.clock.now();
  }
  record.turns.succeeded();
  await refreshVolumes(parts, signal);
  const wakes = [wakeAtMs, record.holds.nextChangeMs(), record.refreshAtMs].filter(
    (one) => one !== undefined,
  );
  return Math.max(0, Math.min(...wakes) - deps.clock.now());
}

const isTerminal = ({ last }: PodRecord): boolean => isTerminalPhase(last.status?.phase);

/** A step that changed nothing must not be taken again without a pause. */
function repeats(parts: Parts, actions: readonly PodAction[]): boolean {
  const text = JSON.stringify(actions);
  const same = text === parts.lastActions;
  parts.lastActions = text;
  return same;
}

/** Takes the steps in order, up to the first that fails. True where one was cut short. */
async function act(
  parts: Parts,
  situation: PodSituation,
  actions: readonly PodAction[],
  signal: AbortSignal,
): Promise<boolean> {
  const { record } = parts;
  if (actions.length === 0) parts.lastActions = '';
  for (const group of groupsOf(actions)) {
    const { deleted: stopping, graceSeconds } = situation;
    // The deletion may have come while the situation was looked at.
    if (!stopping && isDeleted(record)) return true;
    using abort = linkedAbort(signal);
    parts.effect = { abort, stopping, graceSeconds };
    try {
      if (!(await performAll(parts, situation, group, abort.signal))) return false;
    } catch (error) {
      signal.throwIfAborted();
      if (abort.signal.aborted) return true;
      throw error;
    } finally {
      parts.effect = undefined;
    }
  }
  return false;
}

const prepares = ({ kind }: PodAction) => kind === 'mount-volumes' || kind === 'run-sandbox';

/** Steps that are taken at once stand together; each other stands alone. */
function groupsOf(actions: readonly PodAction[]): PodAction[][] {
  const groups: PodAction[][] = [];
  for (const action of actions) {
    const last = groups.at(-1);
    if (last && prepares(action) && last.every(prepares)) last.push(action);
    else groups.push([action]);
  }
  return groups;
}

/** Ends when all of them have: one that was left behind would go on beside the next turn. */
async function performAll(
  { record, steps }: Parts,
  { runtime }: PodSituation,
  group: readonly PodAction[],
  signal: AbortSignal,
): Promise<boolean> {
  const ends = await Promise.allSettled(
    group.map((action) => steps.perform(record, action, runtime, signal)),
  );
  for (const end of ends) if (end.status === 'rejected') throw end.reason;
  return ends.every((end) => end.status === 'fulfilled' && end.value);
}

async function situationOf({ deps, record, probes }: Parts, runtime: ObservedPod): Promise<PodSituation> {
  const { uid } = record;
  const deleted = isDeleted(record);
  const terminal = isTerminal(record);
  return {
    nowMs: deps.clock.now(),
    runtime,
    volumesMounted: record.mounted !== undefined,
    volumesOnDisk: (deleted || terminal) && (await deps.volumes.isOnDisk(uid)),
    filesOnDisk: deleted && (await deps.volumes.hasFiles(uid)),
    volumesHeldUntilMs: record.volumes.untilMs,
    sandboxHeldUntilMs: record.sandbox.untilMs,
    startHeldUntilMs: record.holds.untilMs(),
    crashHeldUntilMs: (name, finishedAtMs) =>
      deps.backoff.heldUntilMs(backoffKey(uid, name), finishedAtMs, deps.clock.now()),
    started: (container) => probes.started(container),
    condemned: probes.condemned,
    terminal,
    deleted,
    graceSeconds: graceSecondsOf(record),
  };
}

async function refreshVolumes({ deps, record }: Parts, signal: AbortSignal): Promise<void> {
  if (deps.clock.now() < record.refreshAtMs) return;
  record.refreshAtMs = deps.clock.now() + refreshMs;
  if (record.mounted === undefined) return;
  try {
    await deps.volumes.refresh(record.last, signal);
  } catch (error) {
    signal.throwIfAborted();
    const reason = isVolumeResizeError(error) ? 'VolumeResizeFailed' : 'FailedMount';
    deps.event(record.last, 'Warning', reason, (error as Error).message);
  }
}

async function deleteObject({ deps, record }: Parts, signal: AbortSignal): Promise<void> {
  if (!record.current) return;
  const { uid } = record;
  await deps.client.delete(Pods, refOf(record.current), { signal, gracePeriodSeconds: 0, uid });
}

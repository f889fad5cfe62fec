import type {
  Container,
  ContainerState,
  ContainerStateTerminated,
  ContainerStatus,
  Pod,
  PodCondition,
  PodStatus,
} from 'kubernetes-types/core/v1.js';
import { isSidecar } from './next-pod-actions.ts';
import { newestContainer, type ObservedContainer, type ObservedPod } from './observed.ts';
import { isTerminalPhase, podPhase, qosClass, type PodPhase } from './pod-phase.ts';

/** Why a container that should run does not. */
export interface WaitingNote {
  readonly reason: string;
  readonly message: string;
}

export interface StatusInputs {
  readonly pod: Pod;
  readonly runtime: ObservedPod;
  readonly nowMs: number;
  readonly hostIp: string;
  /** Start failures and backoffs, by container name. */
  readonly waiting: ReadonlyMap<string, WaitingNote>;
  /** By container id. */
  readonly terminationMessages: ReadonlyMap<string, string>;
  /** Readiness probe passed, or none. */
  ready(container: ObservedContainer): boolean;
  /** Startup probe passed, or none; for a postStart hook: it has ended. */
  started(container: ObservedContainer): boolean;
}

const iso = (ms: number): string =>
  new Date(Math.floor(ms / 1000) * 1000).toISOString().replace('.000Z', 'Z');

/** The status a pod should show: what kubectl prints, and what controllers wait for. */
export function podStatus(inputs: StatusInputs): PodStatus {
  const { pod, runtime, nowMs, hostIp } = inputs;
  const before: PodStatus = pod.status ?? {};
  const initSpecs = pod.spec?.initContainers ?? [];
  const mainSpecs = pod.spec?.containers ?? [];
  const mainStarted = mainSpecs.some(({ name }) => newestContainer(runtime, name) !== undefined);
  const init = initSpecs.map((container) =>
    containerStatus(container, inputs, before, 'PodInitializing', true),
  );
  const initialized = mainStarted || initSpecs.every((container, at) => isInitDone(container, init[at]));
  const idle = initialized ? 'ContainerCreating' : 'PodInitializing';
  const mains = mainSpecs.map((container) => containerStatus(container, inputs, before, idle, false));
  const phase = finalPhase(inputs, podPhase(pod, init, mains), mains);
  const sandbox = runtime.sandboxes[0];
  // A pod that never ran anything and has lost its sandbox has lost its address with it.
  const unstarted = !sandbox && runtime.containers.length === 0 && phase === 'Pending';
  const known = unstarted ? [] : (before.podIPs ?? []).map((one) => one.ip ?? '');
  const ips = pod.spec?.hostNetwork ? [hostIp] : sandbox && sandbox.ips.length > 0 ? sandbox.ips : known;
  const networked = sandbox !== undefined || runtime.containers.length > 0 || before.podIP !== undefined;
  return {
    phase,
    conditions: conditions(inputs, {
      phase,
      init,
      mains,
      initialized,
      sandboxReady: sandbox?.ready ?? false,
    }),
    hostIP: hostIp,
    hostIPs: [{ ip: hostIp }],
    ...(networked && ips[0] ? { podIP: ips[0], podIPs: ips.map((ip) => ({ ip })) } : {}),
    startTime: before.startTime ?? iso(nowMs),
    qosClass: before.qosClass ?? qosClass(pod),
    ...(initSpecs.length > 0 ? { initContainerStatuses: init } : {}),
    containerStatuses: mains,
  };
}

function isInitDone(container: Container, status: ContainerStatus | undefined): boolean {
  if (isSidecar(container)) return status?.started ?? false;
  return status?.state?.terminated?.exitCode === 0;
}

/** Once over, a pod stays over; one that was deleted while it ran ends by its exit codes. */
function finalPhase(
  { pod, runtime }: StatusInputs,
  phase: PodPhase,
  mains: readonly ContainerStatus[],
): PodPhase {
  const before = pod.status?.phase;
  if (isTerminalPhase(before)) return before;
  const alive = runtime.containers.some((one) => one.state === 'running' || one.state === 'unknown');
  const ended = mains.map((one) => one.state?.terminated ?? one.lastState?.terminated);
  if (!pod.metadata?.deletionTimestamp || alive || !ended.some((one) => one !== undefined)) return phase;
  return ended.every((one) => one === undefined || one.exitCode === 0) ? 'Succeeded' : 'Failed';
}

function containerStatus(
  container: Container,
  inputs: StatusInputs,
  before: PodStatus,
  idleReason: string,
  isInit: boolean,
): ContainerStatus {
  const { runtime, waiting, ready, started } = inputs;
  const { name } = container;
  const [newest, previous] = runtime.containers.filter((one) => one.name === name);
  const recorded = (isInit ? before.initContainerStatuses : before.containerStatuses)?.find(
    (one) => one.name === name,
  );
  // The runtime may have lost a container that had run: what was recorded is then all that is known.
  if (!newest && recorded?.containerID) return forgotten(recorded, waiting.get(name), pod(inputs));
  const note = waiting.get(name) ?? { reason: idleReason, message: '' };
  const state = stateOf(newest, inputs, note, waiting.has(name));
  const last = state.terminated || newest?.state !== 'exited' ? previous : newest;
  const running = newest?.state === 'running';
  const hasStarted = running && newest !== undefined && started(newest);
  const finishedInit = isInit && !isSidecar(container) && newest?.exitCode === 0;
  return {
    name,
    image: container.image ?? '',
    imageID: newest?.imageId ?? '',
    ...(newest ? { containerID: `containerd://${newest.id}` } : {}),
    restartCount: newest?.attempt ?? 0,
    ready: finishedInit || (hasStarted && newest !== undefined && ready(newest)),
    started: hasStarted,
    state,
    lastState:
      last?.state === 'exited'
        ? { terminated: terminatedState(last, inputs.terminationMessages.get(last.id)) }
        : lastRecorded(newest, previous, recorded),
  };
}

const pod = ({ pod: own }: StatusInputs): Pod => own;

/** The last end that the API remembers of the same start, where the runtime has removed it. */
function lastRecorded(
  newest: ObservedContainer | undefined,
  previous: ObservedContainer | undefined,
  recorded: ContainerStatus | undefined,
): ContainerState {
  const same = newest !== undefined && recorded?.containerID === `containerd://${newest.id}`;
  return !previous && same ? (recorded?.lastState ?? {}) : {};
}

function forgotten(recorded: ContainerStatus, note: WaitingNote | undefined, own: Pod): ContainerStatus {
  if (recorded.state?.terminated) return { ...recorded, ready: recorded.ready };
  const ended = isTerminalPhase(own.status?.phase) || own.metadata?.deletionTimestamp !== undefined;
  const terminated: ContainerStateTerminated = {
    exitCode: 137,
    reason: 'ContainerStatusUnknown',
    message: 'The container could not be located when the pod was terminated',
  };
  const lastState = recorded.state?.running ? { terminated } : (recorded.lastState ?? {});
  return {
    ...recorded,
    ready: false,
    started: false,
    state: ended ? { terminated } : { waiting: { reason: note?.reason ?? 'ContainerCreating' } },
    lastState: ended ? (recorded.lastState ?? {}) : lastState,
  };
}

function stateOf(
  newest: ObservedContainer | undefined,
  { terminationMessages }: StatusInputs,
  note: WaitingNote,
  noted: boolean,
): ContainerState {
  if (newest?.state === 'running')
    return { running: { startedAt: iso(newest.startedAtMs ?? newest.createdAtMs) } };
  if (newest?.state === 'exited' && !noted)
    return { terminated: terminatedState(newest, terminationMessages.get(newest.id)) };
  return { waiting: { reason: note.reason, ...(note.message === '' ? {} : { message: note.message }) } };
}

function terminatedState(
  container: ObservedContainer,
  message: string | undefined,
): ContainerStateTerminated {
  const exitCode = container.exitCode ?? 255;
  const said = message || container.message;
  return {
    exitCode,
    reason: container.reason ?? (exitCode === 0 ? 'Completed' : 'Error'),
    ...(said ? { message: said } : {}),
    // A container whose start failed has no start time, but the field has to be there.
    startedAt: iso(container.startedAtMs ?? container.createdAtMs),
    finishedAt: iso(container.finishedAtMs ?? container.createdAtMs),
    containerID: `containerd://${container.id}`,
  };
}

interface ConditionFacts {
  readonly phase: PodPhase;
  readonly init: readonly ContainerStatus[];
  readonly mains: readonly ContainerStatus[];
  readonly initialized: boolean;
  readonly sandboxReady: boolean;
}

function conditions(inputs: StatusInputs, facts: ConditionFacts): PodCondition[] {
  const { pod: own, nowMs } = inputs;
  const { phase, init, mains, initialized, sandboxReady } = facts;
  const old = own.status?.conditions ?? [];
  const names = (statuses: readonly ContainerStatus[]) => statuses.map((one) => one.name).join(' ');
  const sidecars = init.filter((one) =>
    (own.spec?.initContainers ?? []).some((spec) => spec.name === one.name && isSidecar(spec)),
  );
  const unready = [...sidecars, ...mains].filter((one) => !one.ready);
  const over = phase === 'Succeeded' ? 'PodCompleted' : phase === 'Failed' ? 'PodFailed' : undefined;
  const containersReady: Verdict =
    over !== undefined
      ? { status: 'False', reason: over }
      : unready.length > 0 || !initialized
        ? {
            status: 'False',
            reason: 'ContainersNotReady',
            message: `containers with unready status: [${names(unready)}]`,
          }
        : { status: 'True' };
  const gates = (own.spec?.readinessGates ?? []).filter(
    (gate) => old.find((one) => one.type === gate.conditionType)?.status !== 'True',
  );
  const ready: Verdict =
    containersReady.status === 'True' && gates.length > 0
      ? {
          status: 'False',
          reason: 'ReadinessGatesNotReady',
          message: gates
            .map(
              (gate) =>
                `corresponding condition of pod readiness gate "${gate.conditionType}" does not exist or is not True.`,
            )
            .join(', '),
        }
      : containersReady;
  const incomplete = init.filter((one, at) => {
    const spec = own.spec?.initContainers?.[at];
    return spec !== undefined && !isInitDone(spec, one);
  });
  const initCondition: Verdict =
    initialized || phase === 'Succeeded'
      ? { status: 'True', ...(phase === 'Succeeded' ? { reason: 'PodCompleted' } : {}) }
      : {
          status: 'False',
          reason: 'ContainersNotInitialized',
          message: `containers with incomplete status: [${names(incomplete)}]`,
        };
  const verdicts: Readonly<Record<string, Verdict>> = {
    PodReadyToStartContainers: { status: sandboxReady ? 'True' : 'False' },
    Initialized: initCondition,
    Ready: ready,
    ContainersReady: containersReady,
    PodScheduled: { status: 'True' },
  };
  const ours = Object.entries(verdicts).map(([type, verdict]) => condition(type, verdict, old, nowMs));
  return [...ours, ...old.filter((one) => !(one.type in verdicts))];
}

interface Verdict {
  readonly status: 'True' | 'False';
  readonly reason?: string;
  readonly message?: string;
}

function condition(
  type: string,
  verdict: Verdict,
  old: readonly PodCondition[],
  nowMs: number,
): PodCondition {
  const before = old.find((one) => one.type === type);
  const since =
    before?.status === verdict.status && before.lastTransitionTime ? before.lastTransitionTime : iso(nowMs);
  return { type, ...verdict, lastTransitionTime: since };
}

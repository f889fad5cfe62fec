import type { Container, ContainerState, ContainerStatus, Pod } from 'kubernetes-types/core/v1.js';
import { ageOf } from './age.ts';
import { nameOf, none, printer, type BuiltinPrinter } from './builtin-printer.ts';

type Terminated = NonNullable<ContainerState['terminated']>;

/** What the containers tell about a pod, gathered while walking them. */
interface Tally {
  reason: string;
  ready: number;
  restarts: number;
  /** Milliseconds since the epoch of the last end of a container, or 0. */
  restartedMs: number;
}

const endOf = ({ lastState }: ContainerStatus): number =>
  Date.parse(String(lastState?.terminated?.finishedAt ?? '')) || 0;

function countRestarts(tally: Tally, status: ContainerStatus): void {
  tally.restarts += status.restartCount ?? 0;
  tally.restartedMs = Math.max(tally.restartedMs, endOf(status));
}

const endText = ({ reason, signal, exitCode }: Terminated): string =>
  reason || (signal ? `Signal:${signal}` : `ExitCode:${exitCode}`);

const isSidecar = (container: Container | undefined): boolean => container?.restartPolicy === 'Always';

const hasCondition = (pod: Pod, type: string): boolean =>
  (pod.status?.conditions ?? []).some((found) => found.type === type && found.status === 'True');

/** Walks the init containers to the first that is not through; true where there is one. */
function walkInit(pod: Pod, tally: Tally, sidecars: Tally): boolean {
  const specs = pod.spec?.initContainers ?? [];
  for (const [i, status] of (pod.status?.initContainerStatuses ?? []).entries()) {
    const sidecar = isSidecar(specs.find(({ name }) => name === status.name));
    countRestarts(tally, status);
    if (sidecar) countRestarts(sidecars, status);
    const { terminated, waiting } = status.state ?? {};
    if (terminated?.exitCode === 0) continue;
    if (sidecar && status.started) {
      if (status.ready) tally.ready++;
      continue;
    }
    if (terminated) tally.reason = `Init:${endText(terminated)}`;
    else if (waiting?.reason && waiting.reason !== 'PodInitializing') tally.reason = `Init:${waiting.reason}`;
    else tally.reason = `Init:${i}/${specs.length}`;
    return true;
  }
  return false;
}

/** Walks the containers from the last to the first, so that the first one's trouble is what is shown. */
function walkContainers(pod: Pod, tally: Tally): void {
  let running = false;
  for (const status of (pod.status?.containerStatuses ?? []).toReversed()) {
    countRestarts(tally, status);
    const { terminated, waiting } = status.state ?? {};
    if (waiting?.reason) tally.reason = waiting.reason;
    else if (terminated) tally.reason = endText(terminated);
    else if (status.ready && status.state?.running) {
      running = true;
      tally.ready++;
    }
  }
  if (tally.reason === 'Completed' && running)
    tally.reason = hasCondition(pod, 'Ready') ? 'Running' : 'NotReady';
}

function tallyOf(pod: Pod): Tally {
  const { status } = pod;
  const tally: Tally = {
    reason: status?.reason || (status?.phase ?? ''),
    ready: 0,
    restarts: 0,
    restartedMs: 0,
  };
  const gated = status?.conditions?.some(
    ({ type, reason }) => type === 'PodScheduled' && reason === 'SchedulingGated',
  );
  if (gated) tally.reason = 'SchedulingGated';
  const sidecars: Tally = { ...tally };
  const initializing = walkInit(pod, tally, sidecars);
  if (!initializing || hasCondition(pod, 'Initialized')) {
    // Init containers that are through no longer count: only those that go on beside the others.
    tally.restarts = sidecars.restarts;
    tally.restartedMs = sidecars.restartedMs;
    walkContainers(pod, tally);
  }
  const ended = status?.phase === 'Succeeded' || status?.phase === 'Failed';
  if (pod.metadata?.deletionTimestamp && status?.reason === 'NodeLost') tally.reason = 'Unknown';
  else if (pod.metadata?.deletionTimestamp && !ended) tally.reason = 'Terminating';
  return tally;
}

function restartsText({ restarts, restartedMs }: Tally, nowMs: number): string {
  if (restarts === 0 || restartedMs === 0) return String(restarts);
  return `${restarts} (${ageOf(new Date(restartedMs).toISOString(), nowMs)} ago)`;
}

function gatesText(pod: Pod): string {
  const gates = pod.spec?.readinessGates ?? [];
  if (gates.length === 0) return none;
  return `${gates.filter(({ conditionType }) => hasCondition(pod, conditionType)).length}/${gates.length}`;
}

export const podPrinters: Readonly<Record<string, BuiltinPrinter>> = {
  Pod: printer<Pod>(
    'Name,Ready,Status,Restarts,Age,IP*,Node*,Nominated Node*,Readiness Gates*',
    (pod, nowMs) => {
      const { spec, status } = pod;
      const tally = tallyOf(pod);
      const total = (spec?.containers ?? []).length + (spec?.initContainers ?? []).filter(isSidecar).length;
      return [
        nameOf(pod),
        `${tally.ready}/${total}`,
        tally.reason,
        restartsText(tally, nowMs),
        ageOf(pod.metadata?.creationTimestamp, nowMs),
        status?.podIPs?.[0]?.ip || status?.podIP || none,
        spec?.nodeName || none,
        status?.nominatedNodeName || none,
        gatesText(pod),
      ];
    },
  ),
};

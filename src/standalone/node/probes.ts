import type { Container, Pod, Probe } from 'kubernetes-types/core/v1.js';
import type { Clock } from '../../lib/clock.ts';
import { isSidecar } from './next-pod-actions.ts';
import { newestContainer, type ObservedContainer, type ObservedPod } from './observed.ts';
import type { ActionResult } from './probe-action.ts';

export type ProbeKind = 'startup' | 'liveness' | 'readiness';

export interface ProbesDeps {
  readonly clock: Clock;
  /** Runs one probe once. */
  run(
    kind: ProbeKind,
    container: Container,
    id: string,
    probe: Probe,
    signal: AbortSignal,
  ): Promise<ActionResult>;
  /** A verdict changed. */
  onChange(): void;
  onUnhealthy(kind: ProbeKind, container: Container, output: string): void;
}

/** The probes of one pod's running containers. */
export interface PodProbes {
  /** Starts what is missing, and ends the probes of containers that no longer run. */
  sync(pod: Pod, runtime: ObservedPod): void;
  started(container: ObservedContainer): boolean;
  ready(container: ObservedContainer): boolean;
  /** Containers that must be restarted, with the message for their Killing event. */
  readonly condemned: ReadonlyMap<string, string>;
  stop(): void;
}

interface Tracked {
  readonly stop: AbortController;
  started: boolean;
  ready: boolean;
}

const titles: Readonly<Record<ProbeKind, string>> = {
  startup: 'Startup',
  liveness: 'Liveness',
  readiness: 'Readiness',
};

export const probeTitle = (kind: ProbeKind): string => titles[kind];

export function podProbes(deps: ProbesDeps): PodProbes {
  const tracked = new Map<string, Tracked>();
  const condemned = new Map<string, string>();

  const begin = (pod: Pod, container: Container, observed: ObservedContainer) => {
    const recorded = [
      ...(pod.status?.containerStatuses ?? []),
      ...(pod.status?.initContainerStatuses ?? []),
    ].find((status) => status.containerID === `containerd://${observed.id}`);
    const entry: Tracked = {
      stop: new AbortController(),
      // After a restart of the node process, what was ready stays so until a probe says otherwise.
      started: container.startupProbe === undefined || recorded?.started === true,
      ready: container.readinessProbe === undefined || recorded?.ready === true,
    };
    tracked.set(observed.id, entry);
    const kinds: [ProbeKind, Probe | undefined][] = [
      ['startup', entry.started ? undefined : container.startupProbe],
      ['liveness', container.livenessProbe],
      ['readiness', container.readinessProbe],
    ];
    for (const [kind, probe] of kinds)
      if (probe) loop(deps, { kind, probe, container, observed, entry, condemned }).catch(() => undefined); // Ends by its signal only.
  };

  return {
    condemned,
    sync(pod, runtime) {
      const alive = new Set<string>();
      const containers = [
        ...(pod.spec?.containers ?? []),
        ...(pod.spec?.initContainers ?? []).filter(isSidecar),
      ];
      for (const container of containers) {
        const observed = newestContainer(runtime, container.name);
        if (observed?.state !== 'running') continue;
        alive.add(observed.id);
        if (!tracked.has(observed.id)) begin(pod, container, observed);
      }
      for (const [id, entry] of tracked) {
        if (alive.has(id)) continue;
        entry.stop.abort();
        tracked.delete(id);
        condemned.delete(id);
      }
    },
    started: (container) => tracked.get(container.id)?.started ?? false,
    ready: (container) => tracked.get(container.id)?.ready ?? false,
    stop() {
      for (const entry of tracked.values()) entry.stop.abort();
      tracked.clear();
    },
  };
}

interface Loop {
  readonly kind: ProbeKind;
  readonly probe: Probe;
  readonly container: Container;
  readonly observed: ObservedContainer;
  readonly entry: Tracked;
  readonly condemned: Map<string, string>;
}

async function loop(deps: ProbesDeps, own: Loop): Promise<void> {
  const { clock } = deps;
  const { kind, probe, container, observed, entry, condemned } = own;
  const { signal } = entry.stop;
  const periodMs = (probe.periodSeconds || 10) * 1000;
  const failuresWanted = probe.failureThreshold || 3;
  const successesWanted = probe.successThreshold || 1;
  const firstMs = (observed.startedAtMs ?? clock.now()) + (probe.initialDelaySeconds ?? 0) * 1000;
  if (firstMs > clock.now()) await clock.sleep(firstMs - clock.now(), signal);
  let successes = 0;
  let failures = 0;
  for (;;) {
    // Nothing else is asked of a container before its startup probe has passed.
    if (kind === 'startup' || entry.started) {
      const result = await deps.run(kind, container, observed.id, probe, signal);
      signal.throwIfAborted();
      if (result.ok) {
        successes++;
        failures = 0;
      } else {
        failures++;
        successes = 0;
        deps.onUnhealthy(kind, container, result.output);
      }
      if (successes >= successesWanted && pass(kind, entry)) deps.onChange();
      if (failures >= failuresWanted) {
        if (kind === 'readiness') {
          if (entry.ready) {
            entry.ready = false;
            deps.onChange();
          }
        } else {
          condemned.set(observed.id, `Container ${container.name} failed ${kind} probe, will be restarted`);
          deps.onChange();
          return;
        }
      }
      if (kind === 'startup' && entry.started) return;
    }
    await clock.sleep(kind !== 'startup' && !entry.started ? Math.min(periodMs, 1_000) : periodMs, signal);
  }
}

function pass(kind: ProbeKind, entry: Tracked): boolean {
  if (kind === 'startup' && !entry.started) return (entry.started = true);
  if (kind === 'readiness' && !entry.ready) return (entry.ready = true);
  return false;
}

import type { Container, Pod } from 'kubernetes-types/core/v1.js';
import { Pods } from '../../api/core.ts';
import type { Stored } from '../../api/resource.ts';
import type { KubeClient } from '../../kube/client.ts';
import { isNotFound } from '../../kube/errors.ts';
import { patchStatus } from '../../kube/patch.ts';
import type { Clock } from '../../lib/clock.ts';
import { newestContainer, type ObservedContainer, type ObservedPod } from './observed.ts';
import { specOf } from './pod-effects.ts';
import type { PodRecord } from './pod-record.ts';
import { podStatus, type WaitingNote } from './pod-status.ts';
import type { PodProbes } from './probes.ts';

export interface PodReporterDeps {
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly nodeIp: string;
  /** What a dead container left to say. */
  lastWords(podUid: string, spec: Container | undefined, container: ObservedContainer): Promise<string>;
  readonly probes: PodProbes;
  crashHeldUntilMs(name: string, finishedAtMs: number): number | undefined;
  event(pod: Pod, type: 'Normal' | 'Warning', reason: string, message: string): void;
}

/** Tells the API how a pod does. */
export interface PodReporter {
  /** Writes the status where it differs; the record then holds what the API answered. */
  report(record: PodRecord, runtime: ObservedPod, signal: AbortSignal): Promise<void>;
}

export function podReporter(deps: PodReporterDeps): PodReporter {
  const messages = new Map<string, string>();
  const toldLoops = new Map<string, string>();

  const readLastWords = async ({ uid, last }: PodRecord, runtime: ObservedPod) => {
    for (const container of runtime.containers) {
      if (container.state !== 'exited' || messages.has(container.id)) continue;
      const spec = specOf(last, container.name);
      messages.set(container.id, await deps.lastWords(uid, spec, container));
    }
    for (const id of messages.keys())
      if (!runtime.containers.some((one) => one.id === id)) messages.delete(id);
  };

  const tellCrashLoops = (
    { uid, last }: PodRecord,
    runtime: ObservedPod,
    waiting: ReadonlyMap<string, WaitingNote>,
  ) => {
    for (const [name, note] of waiting) {
      const id = newestContainer(runtime, name)?.id;
      if (note.reason !== 'CrashLoopBackOff' || id === undefined || toldLoops.get(name) === id) continue;
      toldLoops.set(name, id);
      const pod = `${last.metadata?.name}_${last.metadata?.namespace}(${uid})`;
      deps.event(last, 'Warning', 'BackOff', `Back-off restarting failed container ${name} in pod ${pod}`);
    }
  };

  return {
    async report(record, runtime, signal) {
      const { current } = record;
      if (!current) return;
      await readLastWords(record, runtime);
      const waiting = record.holds.waiting(current, runtime, deps.crashHeldUntilMs);
      tellCrashLoops(record, runtime, waiting);
      const status = podStatus({
        pod: current,
        runtime,
        nowMs: deps.clock.now(),
        hostIp: deps.nodeIp,
        waiting,
        terminationMessages: messages,
        ready: (container) => deps.probes.ready(container),
        started: (container) => deps.probes.started(container),
      });
      // Its address it may have lost; all else that we do not speak of stays.
      const { podIP: _ip, podIPs: _ips, ...others } = current.status ?? {};
      const written = await write(deps.client, current, { ...others, ...status }, signal);
      // The watch may have been faster: what it brought meanwhile is newer than this answer.
      if (!written || record.current !== current) return;
      record.current = written;
      record.last = written;
    },
  };
}

async function write(
  client: KubeClient,
  current: Stored<Pod>,
  status: NonNullable<Pod['status']>,
  signal: AbortSignal,
): Promise<Stored<Pod> | undefined> {
  try {
    return await patchStatus(client, Pods, current, status, { signal });
  } catch (error) {
    if (isNotFound(error)) return undefined; // It is gone: the watch will say so.
    throw error;
  }
}

import type { Clock } from '../../lib/clock.ts';
import type { Logger } from '../../lib/log.ts';
import { fromBinary } from '@bufbuild/protobuf';
import { TaskExitSchema, TaskOOMSchema } from '../../gen/containerd/task_pb.js';
import type { ObservedPod } from './observed.ts';
import type { ContainerRuntime } from './runtime.ts';

/** The newest look at what the runtime has, kept by containerd's events with a listing as the fallback. */
export interface RuntimeWatch {
  pod(uid: string): ObservedPod | undefined;
  pods(): ReadonlyMap<string, ObservedPod>;
  /** Looks now; resolves once a look that began after this call is in. */
  refresh(signal: AbortSignal): Promise<void>;
  /** The time of the last look that succeeded, 0 before the first. */
  readonly seenAtMs: number;
  run(signal: AbortSignal): Promise<void>;
}

export interface RuntimeWatchDeps {
  readonly runtime: ContainerRuntime;
  readonly clock: Clock;
  readonly log: Logger;
  /** Uids of pods whose containers or sandboxes changed. */
  onChange(uids: readonly string[]): void;
}

// With the event stream up, a look is only there for what it may have missed.
const relistWithEventsMs = 5_000;
const relistWithoutEventsMs = 1_000;
const resubscribeMs = 1_000;
const settleMs = [5, 20, 50, 100, 200, 400, 800];

export function runtimeWatch({ runtime, clock, log, onChange }: RuntimeWatchDeps): RuntimeWatch {
  let pods: ReadonlyMap<string, ObservedPod> = new Map();
  let marks = new Map<string, string>();
  let seenAtMs = 0;
  let running: Promise<void> | undefined;
  let queued: Promise<void> | undefined;

  const look = async (signal: AbortSignal) => {
    const found = await runtime.observe(signal);
    const fresh = new Map([...found].map(([uid, pod]) => [uid, markOf(pod)]));
    const changed = [...new Set([...fresh.keys(), ...marks.keys()])].filter(
      (uid) => fresh.get(uid) !== marks.get(uid),
    );
    pods = found;
    marks = fresh;
    seenAtMs = clock.now();
    if (changed.length > 0) onChange(changed);
  };
  const start = (signal: AbortSignal) => {
    const own: Promise<void> = look(signal).finally(() => {
      if (running === own) running = undefined;
    });
    return (running = own);
  };
  const refresh = (signal: AbortSignal): Promise<void> => {
    if (!running) return start(signal);
    // A look under way may have begun before the change that the caller has in mind: one more follows it.
    queued ??= running
      .catch(() => undefined)
      .then(() => {
        queued = undefined;
        return start(signal);
      });
    return queued;
  };

  return {
    pod: (uid) => pods.get(uid),
    pods: () => pods,
    refresh,
    get seenAtMs() {
      return seenAtMs;
    },
    async run(signal) {
      const stream = eventStream({ runtime, clock, log, refresh, isAlive: (id) => isAlive(pods, id) });
      const following = stream.follow(signal);
      let failing = false;
      while (!signal.aborted) {
        try {
          await refresh(signal);
          if (failing) log.info('container runtime answers again');
          failing = false;
        } catch (err) {
          if (!failing && !signal.aborted) log.warn({ err }, 'container runtime does not answer');
          failing = true;
        }
        const waitMs = stream.isOpen() && !failing ? relistWithEventsMs : relistWithoutEventsMs;
        await clock.sleep(waitMs, signal).catch(() => undefined);
      }
      await following;
    },
  };
}

interface EventStreamDeps {
  readonly runtime: ContainerRuntime;
  readonly clock: Clock;
  readonly log: Logger;
  refresh(signal: AbortSignal): Promise<void>;
  /** As the newest look has it. */
  isAlive(id: string): boolean;
}

/** Looks when containerd tells of an end, and subscribes anew where the stream breaks. */
function eventStream({ runtime, clock, log, refresh, isAlive }: EventStreamDeps) {
  let open = false;
  /** CRI hears of an exit when we do, and takes a moment to say so itself. */
  const untilSeen = async (id: string, signal: AbortSignal) => {
    for (const delayMs of settleMs) {
      await clock.sleep(delayMs, signal);
      await refresh(signal);
      if (!isAlive(id)) return;
    }
  };
  const onEvent = (topic: string, value: Uint8Array, signal: AbortSignal) => {
    if (topic === '/tasks/oom') {
      runtime.forget(fromBinary(TaskOOMSchema, value).containerId);
      refresh(signal).catch(() => undefined); // The relist says why looks fail.
    } else if (topic === '/tasks/exit') {
      const { containerId, id } = fromBinary(TaskExitSchema, value);
      // The end of an exec, such as a probe's, has an id of its own and changes nothing.
      if (id === containerId) untilSeen(containerId, signal).catch(() => undefined);
    }
  };
  return {
    isOpen: () => open,
    async follow(signal: AbortSignal): Promise<void> {
      while (!signal.aborted) {
        try {
          open = true;
          for await (const { topic, event } of runtime.taskEvents(signal))
            if (event) onEvent(topic, event.value, signal);
        } catch (err) {
          if (!signal.aborted) log.debug({ err }, 'containerd event stream broke');
        }
        open = false;
        await clock.sleep(resubscribeMs, signal).catch(() => undefined);
      }
    },
  };
}

function isAlive(pods: ReadonlyMap<string, ObservedPod>, id: string): boolean {
  for (const pod of pods.values()) {
    if (pod.containers.some((one) => one.id === id))
      return pod.containers.some((one) => one.id === id && one.state === 'running');
    if (pod.sandboxes.some((one) => one.id === id))
      return pod.sandboxes.some((one) => one.id === id && one.ready);
  }
  return false;
}

/** Changes exactly when something of the pod does. */
function markOf(pod: ObservedPod): string {
  const sandboxes = pod.sandboxes.map((one) => `${one.id}:${one.ready}`);
  const containers = pod.containers.map(
    (one) => `${one.id}:${one.state}:${one.exitCode ?? ''}:${one.reason ?? ''}`,
  );
  return [...sandboxes, ...containers].join();
}

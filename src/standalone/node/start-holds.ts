import type { Pod } from 'kubernetes-types/core/v1.js';
import { backoffMs } from '../../lib/backoff.ts';
import type { Clock } from '../../lib/clock.ts';
import { isSidecar } from './next-pod-actions.ts';
import { newestContainer, type ObservedPod } from './observed.ts';
import type { WaitingNote } from './pod-status.ts';
import type { StartError } from './start-error.ts';

interface Hold {
  readonly failures: number;
  readonly sinceMs: number;
  readonly untilMs: number;
  readonly image: string;
  readonly reason: string;
  readonly message: string;
}

/** Containers whose start failed: until when they are left alone, and what their status says meanwhile. */
export interface StartHolds {
  failed(name: string, image: string, error: StartError): void;
  started(name: string): void;
  /** What was missing may be there now: try at once. */
  retryConfig(): void;
  untilMs(): ReadonlyMap<string, number>;
  /** Waiting notes by container, the crash-loop's among them. */
  waiting(
    pod: Pod,
    runtime: ObservedPod,
    crashHeldUntilMs: (name: string, finishedAtMs: number) => number | undefined,
  ): ReadonlyMap<string, WaitingNote>;
  /** When a note changes by itself. */
  nextChangeMs(): number | undefined;
}

const imageRetry = { baseMs: 10_000, maxMs: 300_000 };
const otherRetry = { baseMs: 2_000, maxMs: 60_000 };
// kubelet shows the error first and its backoff afterwards; both texts are what people search for.
const errorShownMs = 3_000;

export function startHolds(clock: Clock): StartHolds {
  const holds = new Map<string, Hold>();
  return {
    failed(name, image, error) {
      const failures = holds.get(name)?.failures ?? 0;
      const delayMs = backoffMs(failures, isImageReason(error.reason) ? imageRetry : otherRetry);
      const sinceMs = clock.now();
      holds.set(name, {
        failures: failures + 1,
        sinceMs,
        untilMs: sinceMs + delayMs,
        image,
        reason: error.reason,
        message: error.message,
      });
    },
    started: (name) => void holds.delete(name),
    retryConfig() {
      for (const [name, hold] of holds)
        if (hold.reason === 'CreateContainerConfigError') holds.set(name, { ...hold, untilMs: 0 });
    },
    untilMs: () => new Map([...holds].map(([name, hold]) => [name, hold.untilMs])),
    waiting(pod, runtime, crashHeldUntilMs) {
      const notes = new Map<string, WaitingNote>();
      for (const [name, hold] of holds) notes.set(name, noteOf(hold, clock.now()));
      for (const { name } of [...(pod.spec?.containers ?? []), ...(pod.spec?.initContainers ?? [])]) {
        const newest = newestContainer(runtime, name);
        if (newest?.state !== 'exited' || notes.has(name)) continue;
        const finishedAtMs = newest.finishedAtMs ?? newest.createdAtMs;
        const untilMs = crashHeldUntilMs(name, finishedAtMs);
        if (untilMs === undefined || !restarts(pod, name, newest.exitCode ?? 255)) continue;
        const delay = durationText(Math.round((untilMs - finishedAtMs) / 1000));
        notes.set(name, {
          reason: 'CrashLoopBackOff',
          message: `back-off ${delay} restarting failed container=${name} pod=${pod.metadata?.name}_${pod.metadata?.namespace}(${pod.metadata?.uid})`,
        });
      }
      return notes;
    },
    nextChangeMs() {
      const changes = [...holds.values()]
        .filter((hold) => hold.reason === 'ErrImagePull')
        .map((hold) => hold.sinceMs + errorShownMs)
        .filter((at) => at > clock.now());
      return changes.length > 0 ? Math.min(...changes) : undefined;
    },
  };
}

const isImageReason = (reason: string): boolean => /Image/.test(reason);

function noteOf(hold: Hold, nowMs: number): WaitingNote {
  if (hold.reason === 'ErrImagePull' && nowMs >= hold.sinceMs + errorShownMs)
    return { reason: 'ImagePullBackOff', message: `Back-off pulling image "${hold.image}": ${hold.message}` };
  return { reason: hold.reason, message: hold.message };
}

function restarts(pod: Pod, name: string, exitCode: number): boolean {
  const policy = pod.spec?.restartPolicy ?? 'Always';
  const init = pod.spec?.initContainers?.find((one) => one.name === name);
  if (init) return isSidecar(init) || (policy !== 'Never' && exitCode !== 0);
  return policy === 'Always' || (policy === 'OnFailure' && exitCode !== 0);
}

/** As Go prints it: 10s, 1m20s, 5m0s. */
function durationText(seconds: number): string {
  return seconds < 60 ? `${seconds}s` : `${Math.floor(seconds / 60)}m${seconds % 60}s`;
}

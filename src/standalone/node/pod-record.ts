import type { Pod } from 'kubernetes-types/core/v1.js';
import type { Stored } from '../../api/resource.ts';
import { backoffMs } from '../../lib/backoff.ts';
import type { Clock } from '../../lib/clock.ts';
import { emptyPod, type ObservedPod } from './observed.ts';
import { startHolds, type StartHolds } from './start-holds.ts';
import type { PodVolumeMap } from './volumes/pod-volumes.ts';

/** Tries of one sort of step, and when the next may be made. */
export interface Retry {
  failed(): void;
  succeeded(): void;
  /** The next try waits for nothing any more. */
  now(): void;
  readonly untilMs: number;
}

export function retryOf(clock: Clock, limits: { readonly baseMs: number; readonly maxMs: number }): Retry {
  let failures = 0;
  let untilMs = 0;
  const reset = () => {
    failures = 0;
    untilMs = 0;
  };
  return {
    failed() {
      untilMs = clock.now() + backoffMs(failures++, limits);
    },
    succeeded: reset,
    now: reset,
    get untilMs() {
      return untilMs;
    },
  };
}

/**
 * What one worker knows of its pod. None of it has to survive the process: the spec is in the API,
 * the containers are in the runtime, the mounts are on disk.
 */
export interface PodRecord {
  readonly uid: string;
  /** The newest object, undefined once it is gone from the API. */
  current: Stored<Pod> | undefined;
  /** The newest object there ever was, or a stand-in for a pod that only the runtime knows. */
  last: Pod;
  /** Set once every volume was seen in place. */
  mounted: PodVolumeMap | undefined;
  /** When files from the API are looked at anew. */
  refreshAtMs: number;
  readonly volumes: Retry;
  readonly sandbox: Retry;
  /** Turns that failed as a whole. */
  readonly turns: Retry;
  readonly holds: StartHolds;
}

const volumeRetry = { baseMs: 500, maxMs: 120_000 };
const sandboxRetry = { baseMs: 1_000, maxMs: 60_000 };
const turnRetry = { baseMs: 1_000, maxMs: 10_000 };
export const refreshMs = 75_000;

export function podRecord(
  uid: string,
  first: Stored<Pod> | undefined,
  observed: ObservedPod | undefined,
  clock: Clock,
): PodRecord {
  return {
    uid,
    current: first,
    last: first ?? strangerOf(uid, observed),
    mounted: undefined,
    refreshAtMs: clock.now() + refreshMs,
    volumes: retryOf(clock, volumeRetry),
    sandbox: retryOf(clock, sandboxRetry),
    turns: retryOf(clock, turnRetry),
    holds: startHolds(clock),
  };
}

/** A pod of which only the runtime, or the disk, still knows. */
function strangerOf(uid: string, observed: ObservedPod | undefined): Pod {
  const { name = '', namespace = '' } = observed ?? {};
  return { apiVersion: 'v1', kind: 'Pod', metadata: { uid, name, namespace }, spec: { containers: [] } };
}

export const isDeleted = ({ current }: PodRecord): boolean =>
  current === undefined || current.metadata.deletionTimestamp !== undefined;

const vanishedGraceSeconds = 2;
const defaultGraceSeconds = 30;

/** Seconds between TERM and KILL. One that was deleted by force gets a moment all the same. */
export function graceSecondsOf({ current }: PodRecord): number {
  if (current === undefined) return vanishedGraceSeconds;
  const { deletionGracePeriodSeconds } = current.metadata;
  return deletionGracePeriodSeconds ?? current.spec?.terminationGracePeriodSeconds ?? defaultGraceSeconds;
}

export const runtimeOf = (record: PodRecord, observed: ObservedPod | undefined): ObservedPod =>
  observed ?? emptyPod(record.uid, record.last.metadata?.namespace ?? '', record.last.metadata?.name ?? '');

export const podLabel = (pod: Pod): string => `${pod.metadata?.namespace}/${pod.metadata?.name}`;

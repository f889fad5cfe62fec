import type { Pod } from 'kubernetes-types/core/v1.js';
import type { Clock } from '../../lib/clock.ts';
import type { Logger } from '../../lib/log.ts';
import type { PodAction } from './next-pod-actions.ts';
import type { ObservedPod } from './observed.ts';
import { specOf, type PodEffects } from './pod-effects.ts';
import { podLabel, type PodRecord, type Retry } from './pod-record.ts';
import type { RestartBackoff } from './restart-backoff.ts';
import { isStartError } from './start-error.ts';
import type { PodVolumes } from './volumes/pod-volumes.ts';

export interface PodStepsDeps {
  readonly clock: Clock;
  readonly log: Logger;
  readonly nodeIp: string;
  readonly effects: PodEffects;
  readonly volumes: PodVolumes;
  readonly backoff: RestartBackoff;
  event(pod: Pod, type: 'Normal' | 'Warning', reason: string, message: string): void;
}

/** Takes one step that was decided on. */
export interface PodSteps {
  /**
   * True where the next step may follow. A failure that Kubernetes has an event for is told and held
   * back; any other is thrown.
   */
  perform(record: PodRecord, action: PodAction, runtime: ObservedPod, signal: AbortSignal): Promise<boolean>;
}

export const backoffKey = (uid: string, container: string): string => `${uid}/${container}`;

/** Where the pod listens: for its probes and hooks. */
export const podIpOf = (pod: Pod, runtime: ObservedPod, nodeIp: string): string =>
  pod.spec?.hostNetwork ? nodeIp : (runtime.sandboxes[0]?.ips[0] ?? nodeIp);

export function podSteps(deps: PodStepsDeps): PodSteps {
  const { effects, volumes } = deps;

  const attempt = async (
    record: PodRecord,
    { retry, reason, prefix = '' }: { retry: Retry; reason: string; prefix?: string },
    signal: AbortSignal,
    body: () => Promise<void>,
  ): Promise<boolean> => {
    try {
      await body();
      retry.succeeded();
      return true;
    } catch (error) {
      signal.throwIfAborted();
      retry.failed();
      const message = prefix + (error as Error).message;
      deps.log.warn({ pod: podLabel(record.last), reason, cause: message }, 'a step of a pod failed');
      deps.event(record.last, 'Warning', reason, message);
      return false;
    }
  };

  return {
    async perform(record, action, runtime, signal) {
      const { last, uid } = record;
      switch (action.kind) {
        case 'mount-volumes':
          return await attempt(record, { retry: record.volumes, reason: 'FailedMount' }, signal, async () => {
            record.mounted = await volumes.setup(last, signal);
          });
        case 'run-sandbox': {
          const told = { retry: record.sandbox, reason: 'FailedCreatePodSandBox' };
          const prefix = 'Failed to create pod sandbox: ';
          return await attempt(record, { ...told, prefix }, signal, () =>
            effects.runSandbox(last, action.attempt, signal),
          );
        }
        case 'start-container':
          return await startContainer(deps, record, action, runtime, signal);
        case 'stop-containers':
          await effects.stopContainers(last, action.stops, podIpOf(last, runtime, deps.nodeIp), signal);
          return true;
        case 'remove-container':
          await effects.removeContainer(action.id, signal);
          return true;
        case 'stop-sandboxes':
          await effects.stopSandboxes(action.ids, signal);
          return true;
        case 'unmount-volumes':
          record.mounted = undefined;
          return await attempt(record, { retry: record.volumes, reason: 'FailedUnMount' }, signal, () =>
            volumes.teardown(uid, signal),
          );
        case 'remove-sandboxes':
          await effects.removeSandboxes(last, action.ids, signal);
          return true;
        case 'remove-files':
          await volumes.removeFiles(uid);
          return true;
        case 'delete-object':
          return true; // The worker's own end: it does this one itself.
      }
    },
  };
}

async function startContainer(
  { effects, backoff, clock, nodeIp, event }: PodStepsDeps,
  record: PodRecord,
  { name, attempt, sandboxId }: Extract<PodAction, { kind: 'start-container' }>,
  runtime: ObservedPod,
  signal: AbortSignal,
): Promise<boolean> {
  const { last, mounted, holds, uid } = record;
  const sandbox = runtime.sandboxes.find((one) => one.id === sandboxId);
  if (!sandbox || !mounted) return false;
  if (runtime.containers.some((one) => one.name === name && one.sandboxId === sandboxId))
    backoff.restarted(backoffKey(uid, name), clock.now());
  try {
    const podIps = last.spec?.hostNetwork ? [nodeIp] : sandbox.ips;
    const sandboxAttempt = sandbox.attempt;
    await effects.startContainer(
      { pod: last, name, attempt, sandboxId, sandboxAttempt, podIps, volumes: mounted },
      signal,
    );
    holds.started(name);
  } catch (error) {
    if (!isStartError(error)) throw error;
    const image = specOf(last, name)?.image ?? '';
    holds.failed(name, image, error);
    if (error.reason === 'ErrImagePull')
      event(last, 'Normal', 'BackOff', `Back-off pulling image "${image}"`);
  }
  return true; // The other containers are none the worse for it.
}

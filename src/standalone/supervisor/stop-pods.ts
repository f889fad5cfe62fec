import * as grpc from '@grpc/grpc-js';
import { ContainerState, PodSandboxState, RuntimeService } from '../../gen/runtime/v1/api_pb.js';
import { unaryClient, type UnaryClient } from '../../lib/grpc.ts';
import type { Logger } from '../../lib/log.ts';
import { mapLimit } from '../../lib/map-limit.ts';
import type { ProcessIdentity } from '../../lib/process-identity.ts';
import { containerdSocket } from '../machine/containerd.ts';
import { graceAnnotation, priorityAnnotation } from '../node/cri-labels.ts';
import { releaseVolumes, volumeUsers } from './release-volumes.ts';

type Runtime = UnaryClient<typeof RuntimeService.method>;

const longestGraceSeconds = 10;
const atOnce = 8;

/**
 * Stops a node's pods before it goes down for good: first those that use volumes of a CSI driver, then these
 * volumes, and only then all others, among them the storage that the volumes stand on. In any other order a
 * filesystem would lose its device under it. The others go by priority, the most critical ones last.
 */
export async function stopPods(init: ProcessIdentity, log: Logger, signal: AbortSignal): Promise<void> {
  const channel = new grpc.Client(`unix://${containerdSocket(init)}`, grpc.credentials.createInsecure());
  const runtime: Runtime = unaryClient(channel, RuntimeService);
  try {
    const users = await volumeUsers(init);
    const { items } = await runtime.listPodSandbox(
      { filter: { state: { state: PodSandboxState.SANDBOX_READY } } },
      { signal },
    );
    const usesVolume = ({ metadata }: Sandbox) => metadata !== undefined && users.has(metadata.uid);
    await stopAll(runtime, items.filter(usesVolume), log, signal);
    await releaseVolumes(init, log, signal);
    const others = items.filter((pod) => !usesVolume(pod));
    for (const priority of [...new Set(others.map(priorityOf))].sort((a, b) => a - b))
      await stopAll(
        runtime,
        others.filter((pod) => priorityOf(pod) === priority),
        log,
        signal,
      );
  } finally {
    channel.close();
  }
}

const priorityOf = ({ annotations }: Sandbox): number => Number(annotations[priorityAnnotation] ?? 0) || 0;

/** What the pod asks for, but not longer than a person who types `down` wants to wait. */
function graceOf(annotations: Readonly<Record<string, string>>): bigint {
  const asked = Number(annotations[graceAnnotation] ?? longestGraceSeconds);
  return BigInt(
    Math.min(Number.isInteger(asked) && asked >= 0 ? asked : longestGraceSeconds, longestGraceSeconds),
  );
}

interface Sandbox {
  readonly id: string;
  readonly metadata?: { readonly name: string; readonly uid: string } | undefined;
  readonly annotations: Readonly<Record<string, string>>;
}

async function stopAll(
  runtime: Runtime,
  sandboxes: readonly Sandbox[],
  log: Logger,
  signal: AbortSignal,
): Promise<void> {
  await mapLimit(sandboxes, atOnce, async ({ id, metadata }) => {
    try {
      const filter = { podSandboxId: id, state: { state: ContainerState.CONTAINER_RUNNING } };
      const { containers } = await runtime.listContainers({ filter }, { signal });
      const options = { signal, timeoutMs: 20_000 };
      await Promise.all(
        containers.map(({ id: containerId, annotations }) =>
          runtime.stopContainer({ containerId, timeout: graceOf(annotations) }, options),
        ),
      );
      await runtime.stopPodSandbox({ podSandboxId: id }, options);
    } catch (error) {
      signal.throwIfAborted();
      log.warn({ err: error, pod: metadata?.name }, 'a pod was not stopped in order');
    }
  });
}

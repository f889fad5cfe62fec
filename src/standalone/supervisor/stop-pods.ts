import { readFile } from 'node:fs/promises';
import * as grpc from '@grpc/grpc-js';
import { ContainerState, PodSandboxState, RuntimeService } from '../../gen/runtime/v1/api_pb.js';
import { unaryClient, type UnaryClient } from '../../lib/grpc.ts';
import type { Logger } from '../../lib/log.ts';
import { mapLimit } from '../../lib/map-limit.ts';
import type { ProcessIdentity } from '../../lib/process-identity.ts';
import { containerdSocket } from '../machine/containerd.ts';
import { graceAnnotation } from '../node/cri-labels.ts';
import { enter } from '../machine/virtual-node.ts';

type Runtime = UnaryClient<typeof RuntimeService.method>;

const longestGraceSeconds = 10;
const atOnce = 8;

/**
 * Stops a node's pods before it goes down for good: first those that use volumes of a CSI driver, then the
 * mounts of these volumes, and only then all others, among them the storage that they stand on. In any
 * other order a filesystem would lose its device under it.
 */
export async function stopPods(init: ProcessIdentity, log: Logger, signal: AbortSignal): Promise<void> {
  const channel = new grpc.Client(`unix://${containerdSocket(init)}`, grpc.credentials.createInsecure());
  const runtime: Runtime = unaryClient(channel, RuntimeService);
  try {
    const mounts = await csiMounts(init);
    const users = new Set(mounts.flatMap((path) => /\/pods\/([^/]+)\//.exec(path)?.[1] ?? []));
    const { items } = await runtime.listPodSandbox(
      { filter: { state: { state: PodSandboxState.SANDBOX_READY } } },
      { signal },
    );
    const usesVolume = (uid: string | undefined) => uid !== undefined && users.has(uid);
    await stopAll(
      runtime,
      items.filter((pod) => usesVolume(pod.metadata?.uid)),
      log,
      signal,
    );
    // Deepest first: a pod's bind before the filesystem that it binds.
    for (const path of mounts.toSorted((a, b) => Number(isStaging(a)) - Number(isStaging(b)))) {
      await enter(init, ['/bin/umount', '--', path], { signal, timeoutMs: 20_000 }).catch((err: unknown) =>
        log.warn({ err, path }, 'a volume was not unmounted'),
      );
    }
    await stopAll(
      runtime,
      items.filter((pod) => !usesVolume(pod.metadata?.uid)),
      log,
      signal,
    );
  } finally {
    channel.close();
  }
}

const isStaging = (path: string) => path.includes('/plugins/kubernetes.io/csi/');

/** Mount points of CSI volumes, staged and published, in the node's own table. */
async function csiMounts(init: ProcessIdentity): Promise<string[]> {
  const table = await readFile(`/proc/${init.pid}/mountinfo`, 'utf8');
  const points = table.split('\n').map((line) => line.split(' ')[4] ?? '');
  return points.filter(
    (point) =>
      /\/volumes\/kubernetes\.io~csi\/[^/]+\/mount$/.test(point) ||
      /\/plugins\/kubernetes\.io\/csi\/.*\/globalmount/.test(point),
  );
}

/** What the pod asks for, but not longer than a person who types `down` wants to wait. */
function graceOf(annotations: Readonly<Record<string, string>>): bigint {
  const asked = Number(annotations[graceAnnotation] ?? longestGraceSeconds);
  return BigInt(
    Math.min(Number.isInteger(asked) && asked >= 0 ? asked : longestGraceSeconds, longestGraceSeconds),
  );
}

interface Sandbox {
  readonly id: string;
  readonly metadata?: { readonly name: string } | undefined;
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

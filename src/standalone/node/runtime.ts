import type { GenService, GenServiceMethods } from '@bufbuild/protobuf/codegenv2';
import { Client, credentials } from '@grpc/grpc-js';
import { Events, type Envelope } from '../../gen/containerd/events_pb.js';
import {
  ContainerState as CriContainerState,
  ImageService,
  PodSandboxState,
  RuntimeService,
  type Container,
  type ContainerStatus,
  type PodSandbox,
} from '../../gen/runtime/v1/api_pb.js';
import { Code, isRpcError, serverStream, unaryClient, type UnaryClient } from '../../lib/grpc.ts';
import { mapLimit } from '../../lib/map-limit.ts';
import {
  containerNameLabel,
  imageNameAnnotation,
  podNameLabel,
  podNamespaceLabel,
  podUidLabel,
} from './cri-labels.ts';
import type { ContainerState, ObservedContainer, ObservedPod, ObservedSandbox } from './observed.ts';

type ServiceMethods<S> = S extends GenService<infer M extends GenServiceMethods> ? M : never;
export type RuntimeCalls = UnaryClient<ServiceMethods<typeof RuntimeService>>;
export type ImageCalls = UnaryClient<ServiceMethods<typeof ImageService>>;

/** containerd as a node needs it: CRI's calls, a whole listing, and a stream of task events. */
export interface ContainerRuntime {
  readonly runtime: RuntimeCalls;
  readonly images: ImageCalls;
  /** Every pod that the runtime knows, by uid. Statuses of what did not change come from memory. */
  observe(signal: AbortSignal): Promise<ReadonlyMap<string, ObservedPod>>;
  /** containerd's events about tasks (exit, oom); ends or throws where the stream breaks. */
  taskEvents(signal: AbortSignal): AsyncIterable<Envelope>;
  /** Asks for this container's status anew at the next look: an OOM is told after the exit. */
  forget(containerId: string): void;
  close(): void;
}

const callMs = 15_000;
const statusesAtOnce = 8;
const maxMessageBytes = 64 * 1024 * 1024;

const states: Readonly<Record<number, ContainerState>> = {
  [CriContainerState.CONTAINER_CREATED]: 'created',
  [CriContainerState.CONTAINER_RUNNING]: 'running',
  [CriContainerState.CONTAINER_EXITED]: 'exited',
};

const toMs = (nanoseconds: bigint): number => Number(nanoseconds / 1_000_000n);

export function connectRuntime(socketPath: string): ContainerRuntime {
  const client = new Client(`unix://${socketPath}`, credentials.createInsecure(), {
    'grpc.max_receive_message_length': maxMessageBytes,
    // containerd may be down for a while; the default backs off to 2 minutes, and pods would wait.
    'grpc.initial_reconnect_backoff_ms': 100,
    'grpc.max_reconnect_backoff_ms': 1_000,
  });
  const runtime = unaryClient(client, RuntimeService);
  const images = unaryClient(client, ImageService);
  const containers = new Map<string, ObservedContainer>();
  const sandboxes = new Map<string, ObservedSandbox>();

  const containerOf = async (listed: Container, signal: AbortSignal) => {
    const known = containers.get(listed.id);
    const state = states[listed.state] ?? 'unknown';
    if (known?.state === state) return known;
    const { status } = await runtime.containerStatus(
      { containerId: listed.id },
      { signal, timeoutMs: callMs },
    );
    if (!status) return undefined;
    const observed = observedContainer(listed, status);
    containers.set(listed.id, observed);
    return observed;
  };
  const sandboxOf = async (listed: PodSandbox, signal: AbortSignal) => {
    const ready = listed.state === PodSandboxState.SANDBOX_READY;
    const known = sandboxes.get(listed.id);
    if (known?.ready === ready) return known;
    const { status } = await runtime.podSandboxStatus(
      { podSandboxId: listed.id },
      { signal, timeoutMs: callMs },
    );
    const ips = [status?.network?.ip ?? '', ...(status?.network?.additionalIps ?? []).map((one) => one.ip)];
    const observed: ObservedSandbox = {
      id: listed.id,
      attempt: listed.metadata?.attempt ?? 0,
      ready,
      createdAtMs: toMs(listed.createdAt),
      ips: ips.filter((ip) => ip !== ''),
    };
    sandboxes.set(listed.id, observed);
    return observed;
  };

  return {
    runtime,
    images,
    async observe(signal) {
      const [listedSandboxes, listedContainers] = await Promise.all([
        runtime.listPodSandbox({}, { signal, timeoutMs: callMs }),
        runtime.listContainers({}, { signal, timeoutMs: callMs }),
      ]);
      forgetMissing(containers, new Set(listedContainers.containers.map((one) => one.id)));
      forgetMissing(sandboxes, new Set(listedSandboxes.items.map((one) => one.id)));
      const seenSandboxes = await mapLimit(listedSandboxes.items, statusesAtOnce, async (listed) => ({
        listed,
        observed: await sandboxOf(listed, signal).catch(ignoreAbsent),
      }));
      const seenContainers = await mapLimit(listedContainers.containers, statusesAtOnce, async (listed) => ({
        listed,
        observed: await containerOf(listed, signal).catch(ignoreAbsent),
      }));
      signal.throwIfAborted();
      return groupByPod(seenSandboxes, seenContainers);
    },
    taskEvents: (signal) => serverStream(client, Events, 'subscribe', { filters: taskFilters }, signal),
    forget: (containerId) => void containers.delete(containerId),
    close: () => client.close(),
  };
}

/**
 * One that is removed between the listing and its status is as good as absent. Any other failure fails
 * the whole look: a container taken for absent would be started twice.
 */
function ignoreAbsent(error: unknown): undefined {
  if (isRpcError(error, Code.NOT_FOUND)) return undefined;
  throw error;
}

const taskFilters = ['topic=="/tasks/exit"', 'topic=="/tasks/oom"'];

function forgetMissing(known: Map<string, unknown>, listed: ReadonlySet<string>): void {
  for (const id of known.keys()) if (!listed.has(id)) known.delete(id);
}

function observedContainer(listed: Container, status: ContainerStatus): ObservedContainer {
  return {
    id: listed.id,
    name: listed.labels[containerNameLabel] ?? listed.metadata?.name ?? '',
    attempt: listed.metadata?.attempt ?? 0,
    sandboxId: listed.podSandboxId,
    state: states[status.state] ?? 'unknown',
    createdAtMs: toMs(status.createdAt),
    ...(status.startedAt > 0n ? { startedAtMs: toMs(status.startedAt) } : {}),
    ...(status.finishedAt > 0n ? { finishedAtMs: toMs(status.finishedAt) } : {}),
    ...(status.state === CriContainerState.CONTAINER_EXITED ? { exitCode: status.exitCode } : {}),
    ...(status.reason === '' ? {} : { reason: status.reason }),
    ...(status.message === '' ? {} : { message: status.message }),
    image: status.annotations[imageNameAnnotation] ?? status.image?.image ?? '',
    imageId: status.imageRef,
    logPath: status.logPath,
  };
}

function groupByPod(
  sandboxes: readonly { listed: PodSandbox; observed: ObservedSandbox | undefined }[],
  containers: readonly { listed: Container; observed: ObservedContainer | undefined }[],
): ReadonlyMap<string, ObservedPod> {
  const pods = new Map<
    string,
    ObservedPod & { sandboxes: ObservedSandbox[]; containers: ObservedContainer[] }
  >();
  const podOf = (labels: Readonly<Record<string, string>>) => {
    const uid = labels[podUidLabel];
    if (uid === undefined) return undefined; // Not made by a kubelet: none of our business.
    let pod = pods.get(uid);
    if (!pod) {
      pod = {
        uid,
        name: labels[podNameLabel] ?? '',
        namespace: labels[podNamespaceLabel] ?? '',
        sandboxes: [],
        containers: [],
      };
      pods.set(uid, pod);
    }
    return pod;
  };
  for (const { listed, observed } of sandboxes) if (observed) podOf(listed.labels)?.sandboxes.push(observed);
  for (const { listed, observed } of containers)
    if (observed) podOf(listed.labels)?.containers.push(observed);
  for (const pod of pods.values()) {
    pod.sandboxes.sort((a, b) => b.createdAtMs - a.createdAtMs || b.attempt - a.attempt);
    pod.containers.sort((a, b) => b.createdAtMs - a.createdAtMs || b.attempt - a.attempt);
  }
  return pods;
}

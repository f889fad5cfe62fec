import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Container, Pod, Service } from 'kubernetes-types/core/v1.js';
import type { Clock } from '../../lib/clock.ts';
import { Code, isRpcError } from '../../lib/grpc.ts';
import { containerConfig } from './container-config.ts';
import { containerDevices, containerMounts, makeTerminationFile } from './container-mounts.ts';
import { containerEnvironment } from './environment.ts';
import type { ImageResolver } from './image-resolution.ts';
import { runHook } from './lifecycle-hooks.ts';
import type { ContainerStop } from './next-pod-actions.ts';
import type { NodeCapacity, PodAddresses } from './pod-fields.ts';
import { removePodLogs, podLogFolder } from './pod-logs.ts';
import type { PodReferences } from './references.ts';
import type { ContainerRuntime, RuntimeCalls } from './runtime.ts';
import { parseResolvConf, sandboxConfig, type SandboxConfig } from './sandbox-config.ts';
import { isStartError, StartError } from './start-error.ts';
import type { PodVolumeMap } from './volumes/pod-volumes.ts';

export interface PodEffectsDeps {
  readonly runtime: ContainerRuntime;
  readonly clock: Clock;
  readonly nodeName: string;
  readonly nodeIp: string;
  readonly kubeletRoot: string;
  /** `/var/log/pods` */
  readonly logRoot: string;
  readonly images: ImageResolver;
  readonly references: PodReferences;
  readonly capacity: NodeCapacity;
  /** Resolves once services are known; a container started before would lack their variables. */
  services(signal: AbortSignal): Promise<readonly Service[]>;
  event(pod: Pod, type: 'Normal' | 'Warning', reason: string, message: string): void;
}

/** What is done to the runtime for one pod. Every call may be cut short by its signal and repeated. */
export interface PodEffects {
  runSandbox(pod: Pod, attempt: number, signal: AbortSignal): Promise<void>;
  startContainer(start: ContainerStart, signal: AbortSignal): Promise<void>;
  stopContainers(
    pod: Pod,
    stops: readonly ContainerStop[],
    podIp: string,
    signal: AbortSignal,
  ): Promise<void>;
  removeContainer(id: string, signal: AbortSignal): Promise<void>;
  stopSandboxes(ids: readonly string[], signal: AbortSignal): Promise<void>;
  removeSandboxes(pod: Pod, ids: readonly string[], signal: AbortSignal): Promise<void>;
}

export interface ContainerStart {
  readonly pod: Pod;
  readonly name: string;
  readonly attempt: number;
  readonly sandboxId: string;
  readonly sandboxAttempt: number;
  readonly podIps: readonly string[];
  readonly volumes: PodVolumeMap;
}

const sandboxMs = 240_000;
const createMs = 120_000;
const stopSlackMs = 30_000;
const minStopSeconds = 2;

export const specOf = (pod: Pod, name: string): Container | undefined =>
  [...(pod.spec?.containers ?? []), ...(pod.spec?.initContainers ?? [])].find((one) => one.name === name);

export function podEffects(deps: PodEffectsDeps): PodEffects {
  const { runtime: cri, clock } = deps;
  const { runtime } = cri;
  const configOfSandbox = async (pod: Pod, attempt: number, signal: AbortSignal): Promise<SandboxConfig> => {
    const services = await deps.services(signal);
    const dns = services.find(
      (one) => one.metadata?.namespace === 'kube-system' && one.metadata.name === 'kube-dns',
    )?.spec?.clusterIP;
    const resolv = parseResolvConf(await readFile('/etc/resolv.conf', 'utf8').catch(() => ''));
    const logDirectory = podLogFolder(deps.logRoot, pod);
    return sandboxConfig({
      pod,
      attempt,
      nodeName: deps.nodeName,
      logDirectory,
      clusterDns: dns,
      nodeResolv: resolv,
    });
  };

  const start = startStep(deps, configOfSandbox);
  return {
    async runSandbox(pod, attempt, signal) {
      const config = await configOfSandbox(pod, attempt, signal);
      await mkdir(podLogFolder(deps.logRoot, pod), { recursive: true, mode: 0o755 });
      await runSandbox(runtime, config, signal);
    },
    async startContainer(wanted, signal) {
      const container = specOf(wanted.pod, wanted.name);
      if (!container)
        throw new StartError('CreateContainerConfigError', `no container ${wanted.name} in the pod`);
      try {
        await start(wanted, container, signal);
      } catch (error) {
        signal.throwIfAborted();
        const failed = isStartError(error)
          ? error
          : new StartError('CreateContainerError', (error as Error).message, { cause: error });
        const text =
          failed.reason === 'ErrImagePull'
            ? `Failed to pull image "${container.image}": ${failed.message}`
            : undefined;
        if (text) deps.event(wanted.pod, 'Warning', 'Failed', text);
        deps.event(wanted.pod, 'Warning', 'Failed', `Error: ${text ? failed.reason : failed.message}`);
        throw failed;
      }
    },
    async stopContainers(pod, stops, podIp, signal) {
      const deadlineMs = clock.now() + Math.max(...stops.map((stop) => stop.graceSeconds)) * 1000;
      for (const round of [...new Set(stops.map((stop) => stop.round))].sort((a, b) => a - b))
        await Promise.all(
          stops
            .filter((stop) => stop.round === round)
            .map((stop) => stopOne(deps, { pod, stop, podIp, deadlineMs }, signal)),
        );
    },
    async removeContainer(id, signal) {
      await runtime.removeContainer({ containerId: id }, { signal });
    },
    async stopSandboxes(ids, signal) {
      for (const id of ids)
        await runtime.stopPodSandbox({ podSandboxId: id }, { signal, timeoutMs: sandboxMs });
    },
    async removeSandboxes(pod, ids, signal) {
      for (const id of ids)
        await runtime.removePodSandbox({ podSandboxId: id }, { signal, timeoutMs: sandboxMs });
      await removePodLogs(deps.logRoot, pod);
    },
  };
}

async function runSandbox(runtime: RuntimeCalls, config: SandboxConfig, signal: AbortSignal): Promise<void> {
  try {
    await runtime.runPodSandbox({ config }, { signal, timeoutMs: sandboxMs });
  } catch (error) {
    const holder = isRpcError(error) ? /is reserved for "([0-9a-f]+)"/.exec(error.message)?.[1] : undefined;
    // A call that was cut short left its name behind: free it, the next try succeeds.
    if (holder !== undefined)
      await runtime.removePodSandbox({ podSandboxId: holder }, { signal }).catch(() => undefined);
    throw error;
  }
}

function startStep(
  deps: PodEffectsDeps,
  configOfSandbox: (pod: Pod, attempt: number, signal: AbortSignal) => Promise<SandboxConfig>,
) {
  const { runtime } = deps.runtime;
  return async (wanted: ContainerStart, container: Container, signal: AbortSignal): Promise<void> => {
    const { pod, attempt, sandboxId, podIps, volumes } = wanted;
    const uid = pod.metadata?.uid ?? '';
    const image = await deps.images.resolve(container, signal);
    deps.event(pod, 'Normal', 'Pulled', `Container image "${container.image}" already present on machine`);
    const addresses: PodAddresses = { nodeName: deps.nodeName, hostIp: deps.nodeIp, podIps };
    const environment = await containerEnvironment(
      pod,
      container,
      {
        references: deps.references,
        services: await deps.services(signal),
        addresses,
        capacity: deps.capacity,
      },
      signal,
    );
    const nodeHosts = pod.spec?.hostNetwork ? await readFile('/etc/hosts', 'utf8').catch(() => '') : '';
    const mounts = await containerMounts(
      { pod, container, volumes, environment, kubeletRoot: deps.kubeletRoot, podIps, nodeHosts },
      signal,
    );
    const devices = containerDevices(container, volumes);
    const terminationFile = await makeTerminationFile(deps.kubeletRoot, uid, container.name, attempt);
    await mkdir(join(podLogFolder(deps.logRoot, pod), container.name), { recursive: true, mode: 0o755 });
    const config = containerConfig({
      pod,
      container,
      attempt,
      image,
      environment,
      mounts,
      devices,
      terminationFile,
    });
    const sandbox = await configOfSandbox(pod, wanted.sandboxAttempt, signal);
    const { containerId } = await runtime.createContainer(
      { podSandboxId: sandboxId, config, sandboxConfig: sandbox },
      { signal, timeoutMs: createMs },
    );
    deps.event(pod, 'Normal', 'Created', `Created container: ${container.name}`);
    try {
      await runtime.startContainer({ containerId }, { signal, timeoutMs: createMs });
    } catch (cause) {
      throw new StartError('RunContainerError', (cause as Error).message, { cause });
    }
    deps.event(pod, 'Normal', 'Started', `Started container ${container.name}`);
    await postStart(deps, wanted, container, containerId, signal);
  };
}

async function postStart(
  deps: PodEffectsDeps,
  { pod, podIps }: ContainerStart,
  container: Container,
  containerId: string,
  signal: AbortSignal,
): Promise<void> {
  const hook = container.lifecycle?.postStart;
  if (!hook) return;
  const { runtime } = deps.runtime;
  const target = { runtime, containerId, container, podIp: podIps[0] ?? deps.nodeIp };
  const result = await runHook(hook, target, createMs, deps.clock, signal);
  if (result.ok) return;
  deps.event(pod, 'Warning', 'FailedPostStartHook', `PostStartHook failed: ${result.output}`);
  const graceSeconds = pod.spec?.terminationGracePeriodSeconds ?? 30;
  await runtime.stopContainer(
    { containerId, timeout: BigInt(graceSeconds) },
    { signal, timeoutMs: graceSeconds * 1000 + stopSlackMs },
  );
  throw new StartError('PostStartHookError', `PostStartHook failed: ${result.output}`);
}

interface OneStop {
  readonly pod: Pod;
  readonly stop: ContainerStop;
  readonly podIp: string;
  readonly deadlineMs: number;
}

async function stopOne(
  deps: PodEffectsDeps,
  { pod, stop, podIp, deadlineMs }: OneStop,
  signal: AbortSignal,
): Promise<void> {
  const { runtime } = deps.runtime;
  deps.event(pod, 'Normal', 'Killing', stop.message);
  const container = specOf(pod, stop.name);
  const hook = container?.lifecycle?.preStop;
  if (hook && container && stop.graceSeconds > 0) {
    const target = { runtime, containerId: stop.id, container, podIp };
    const leftMs = Math.max(1_000, deadlineMs - deps.clock.now());
    const result = await runHook(hook, target, leftMs, deps.clock, signal);
    if (!result.ok) deps.event(pod, 'Warning', 'FailedPreStopHook', `PreStopHook failed: ${result.output}`);
  }
  const leftSeconds = Math.ceil((deadlineMs - deps.clock.now()) / 1000);
  const seconds = stop.graceSeconds === 0 ? 0 : Math.max(leftSeconds, minStopSeconds);
  try {
    await runtime.stopContainer(
      { containerId: stop.id, timeout: BigInt(seconds) },
      { signal, timeoutMs: seconds * 1000 + stopSlackMs },
    );
  } catch (error) {
    if (!isRpcError(error, Code.NOT_FOUND)) throw error;
  }
}

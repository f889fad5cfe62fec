import { readFile, statfs } from 'node:fs/promises';
import { arch, cpus, release, totalmem } from 'node:os';
import type { Node, NodeCondition, NodeStatus } from 'kubernetes-types/core/v1.js';
import { kubernetesVersion } from '../../api/kubernetes-version.ts';
import type { NodeConfig } from '../config.ts';
import type { NodeCapacity } from './pod-fields.ts';

/** What the node registers with, and what its heartbeat says. */
export interface NodeFacts {
  readonly capacity: NodeCapacity;
  readonly info: {
    readonly kernelVersion: string;
    readonly osImage: string;
    readonly runtimeVersion: string;
    readonly machineId: string;
    readonly systemUuid: string;
    readonly bootId: string;
  };
}

const maxPods = 250;
export const kubeletPort = 10_250;

export async function readNodeFacts(kubeletRoot: string, runtimeVersion: string): Promise<NodeFacts> {
  const text = (path: string) =>
    readFile(path, 'utf8').then(
      (content) => content.trim(),
      () => '',
    );
  const disk = await statfs(kubeletRoot);
  const osRelease = await text('/etc/os-release');
  return {
    capacity: {
      milliCpu: BigInt(cpus().length) * 1000n,
      memoryBytes: BigInt(totalmem()),
      ephemeralStorageBytes: BigInt(disk.blocks) * BigInt(disk.bsize),
    },
    info: {
      kernelVersion: release(),
      osImage: /^PRETTY_NAME="?([^"\n]*)/m.exec(osRelease)?.[1] ?? 'Linux',
      runtimeVersion,
      machineId: await text('/etc/machine-id'),
      systemUuid: await text('/etc/machine-id'),
      bootId: await text('/proc/sys/kernel/random/boot_id'),
    },
  };
}

export const kubeArch = (): string => (arch() === 'x64' ? 'amd64' : arch());

export function nodeLabels(config: NodeConfig): Record<string, string> {
  return {
    'kubernetes.io/hostname': config.nodeName,
    'kubernetes.io/os': 'linux',
    'kubernetes.io/arch': kubeArch(),
    'beta.kubernetes.io/os': 'linux',
    'beta.kubernetes.io/arch': kubeArch(),
    ...config.labels,
  };
}

/** With its status from the first moment: without what it has, nothing would fit on it. */
export function newNode(config: NodeConfig, status: NodeStatus): Node {
  return {
    apiVersion: 'v1',
    kind: 'Node',
    metadata: { name: config.nodeName, labels: nodeLabels(config) },
    spec: { podCIDR: config.podCidr, podCIDRs: [config.podCidr] },
    status,
  };
}

export interface NodeHealth {
  /** Empty where the node can run pods; else what is wrong. */
  readonly notReady: string;
  readonly diskPressure: boolean;
  readonly memoryPressure: boolean;
}

const iso = (ms: number): string =>
  new Date(Math.floor(ms / 1000) * 1000).toISOString().replace('.000Z', 'Z');

function conditionsOf(health: NodeHealth, before: NodeStatus | undefined, nowMs: number): NodeCondition[] {
  const condition = (type: string, status: boolean, reason: string, message: string): NodeCondition => {
    const old = before?.conditions?.find((one) => one.type === type);
    const text = status ? 'True' : 'False';
    return {
      type,
      status: text,
      reason,
      message,
      lastHeartbeatTime: iso(nowMs),
      lastTransitionTime:
        old?.status === text && old.lastTransitionTime ? old.lastTransitionTime : iso(nowMs),
    };
  };
  const ours = [
    health.memoryPressure
      ? condition(
          'MemoryPressure',
          true,
          'KubeletHasInsufficientMemory',
          'kubelet has insufficient memory available',
        )
      : condition(
          'MemoryPressure',
          false,
          'KubeletHasSufficientMemory',
          'kubelet has sufficient memory available',
        ),
    health.diskPressure
      ? condition('DiskPressure', true, 'KubeletHasDiskPressure', 'kubelet has disk pressure')
      : condition('DiskPressure', false, 'KubeletHasNoDiskPressure', 'kubelet has no disk pressure'),
    condition('PIDPressure', false, 'KubeletHasSufficientPID', 'kubelet has sufficient PID available'),
    health.notReady === ''
      ? condition('Ready', true, 'KubeletReady', 'kubelet is posting ready status')
      : condition('Ready', false, 'KubeletNotReady', health.notReady),
  ];
  const others = (before?.conditions ?? []).filter((old) => !ours.some((one) => one.type === old.type));
  return [...others, ...ours];
}

export function nodeStatus(
  config: NodeConfig,
  { capacity, info }: NodeFacts,
  health: NodeHealth,
  before: NodeStatus | undefined,
  nowMs: number,
): NodeStatus {
  const { milliCpu } = capacity;
  const resources = {
    cpu: milliCpu % 1000n === 0n ? String(milliCpu / 1000n) : `${milliCpu}m`,
    memory: `${capacity.memoryBytes / 1024n}Ki`,
    'ephemeral-storage': `${capacity.ephemeralStorageBytes / 1024n}Ki`,
    pods: String(maxPods),
  };
  return {
    capacity: resources,
    allocatable: resources,
    addresses: [
      { type: 'InternalIP', address: config.nodeIp },
      { type: 'Hostname', address: config.nodeName },
    ],
    conditions: conditionsOf(health, before, nowMs),
    daemonEndpoints: { kubeletEndpoint: { Port: kubeletPort } },
    nodeInfo: {
      architecture: kubeArch(),
      bootID: info.bootId,
      containerRuntimeVersion: info.runtimeVersion,
      kernelVersion: info.kernelVersion,
      kubeProxyVersion: kubernetesVersion.gitVersion,
      kubeletVersion: kubernetesVersion.gitVersion,
      machineID: info.machineId,
      operatingSystem: 'linux',
      osImage: info.osImage,
      systemUUID: info.systemUuid,
    },
  };
}

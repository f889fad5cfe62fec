import { freemem, totalmem } from 'node:os';
import { podNameLabel, podNamespaceLabel, podUidLabel } from './cri-labels.ts';
import type { ContainerRuntime } from './runtime.ts';

export interface SummaryDeps {
  readonly nodeName: string;
  readonly runtime: ContainerRuntime;
}

/** kubelet's /stats/summary, as far as CRI answers it: CPU time and memory of each container. */
export async function nodeSummary({ nodeName, runtime }: SummaryDeps, signal: AbortSignal): Promise<object> {
  const { stats } = await runtime.runtime.listContainerStats({}, { signal });
  const pods = new Map<string, { podRef: object; containers: object[] }>();
  for (const { attributes, cpu, memory } of stats) {
    const labels = attributes?.labels ?? {};
    const uid = labels[podUidLabel];
    if (uid === undefined) continue;
    const pod = pods.get(uid) ?? {
      podRef: { name: labels[podNameLabel], namespace: labels[podNamespaceLabel], uid },
      containers: [],
    };
    pods.set(uid, pod);
    const time = (ns: bigint | undefined) => new Date(Number((ns ?? 0n) / 1_000_000n)).toISOString();
    pod.containers.push({
      name: attributes?.metadata?.name,
      cpu: {
        time: time(cpu?.timestamp),
        usageCoreNanoSeconds: Number(cpu?.usageCoreNanoSeconds?.value ?? 0n),
      },
      memory: {
        time: time(memory?.timestamp),
        workingSetBytes: Number(memory?.workingSetBytes?.value ?? 0n),
      },
    });
  }
  return {
    node: {
      nodeName,
      memory: { availableBytes: freemem(), usageBytes: totalmem() - freemem() },
    },
    pods: [...pods.values()],
  };
}

import type { Container, ContainerStatus, Pod } from 'kubernetes-types/core/v1.js';
import { parseQuantity } from '../../lib/quantity.ts';
import { isSidecar } from './next-pod-actions.ts';

export type PodPhase = 'Pending' | 'Running' | 'Succeeded' | 'Failed';

export const isTerminalPhase = (phase: string | undefined): phase is 'Succeeded' | 'Failed' =>
  phase === 'Succeeded' || phase === 'Failed';

/** A pod's phase from its containers' statuses, by kubelet's rules. */
export function podPhase(
  pod: Pod,
  init: readonly ContainerStatus[],
  mains: readonly ContainerStatus[],
): PodPhase {
  const policy = pod.spec?.restartPolicy ?? 'Always';
  const statusOf = (statuses: readonly ContainerStatus[], name: string) =>
    statuses.find((one) => one.name === name);
  for (const container of pod.spec?.initContainers ?? []) {
    const status = statusOf(init, container.name);
    if (isSidecar(container)) {
      if (!status?.started && !mains.some((one) => one.containerID)) return 'Pending';
      continue;
    }
    const ended = status?.state?.terminated;
    if (ended?.exitCode === 0) continue;
    if (mains.some((one) => one.containerID)) continue;
    return ended && policy === 'Never' ? 'Failed' : 'Pending';
  }
  let running = 0;
  let stopped = 0;
  let succeeded = 0;
  for (const container of pod.spec?.containers ?? []) {
    const status = statusOf(mains, container.name);
    const ended = status?.state?.terminated;
    if (status?.state?.running) running++;
    else if (ended || status?.lastState?.terminated) {
      stopped++;
      if (ended?.exitCode === 0) succeeded++;
    } else return 'Pending';
  }
  if (running > 0 || policy === 'Always') return running + stopped > 0 ? 'Running' : 'Pending';
  if (stopped === succeeded) return 'Succeeded';
  return policy === 'Never' ? 'Failed' : 'Running';
}

/** Guaranteed, Burstable or BestEffort. */
export function qosClass(pod: Pod): 'Guaranteed' | 'Burstable' | 'BestEffort' {
  const all: readonly Container[] = [...(pod.spec?.containers ?? []), ...(pod.spec?.initContainers ?? [])];
  let any = false;
  let guaranteed = true;
  for (const { resources } of all) {
    for (const name of ['cpu', 'memory']) {
      const limit = resources?.limits?.[name];
      const request = resources?.requests?.[name] ?? limit;
      if (isPositive(limit) || isPositive(request)) any = true;
      if (!isPositive(limit) || !sameQuantity(limit, request)) guaranteed = false;
    }
  }
  return !any ? 'BestEffort' : guaranteed ? 'Guaranteed' : 'Burstable';
}

const isPositive = (text: string | undefined): boolean =>
  text !== undefined && (parseQuantity(text)?.milli ?? 0n) > 0n;
const sameQuantity = (a: string | undefined, b: string | undefined): boolean =>
  a !== undefined && b !== undefined && parseQuantity(a)?.milli === parseQuantity(b)?.milli;

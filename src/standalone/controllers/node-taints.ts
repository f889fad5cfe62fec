import type { Node, Taint } from 'kubernetes-types/core/v1.js';
import { secondTime } from '../../kube/micro-time.ts';

export const notReady = 'node.kubernetes.io/not-ready';
export const unreachable = 'node.kubernetes.io/unreachable';
const unschedulable = 'node.kubernetes.io/unschedulable';

/** Conditions of a node that keep new pods away. */
const pressures: Readonly<Record<string, string>> = {
  MemoryPressure: 'node.kubernetes.io/memory-pressure',
  DiskPressure: 'node.kubernetes.io/disk-pressure',
  PIDPressure: 'node.kubernetes.io/pid-pressure',
  NetworkUnavailable: 'node.kubernetes.io/network-unavailable',
};
const ours = new Set([notReady, unreachable, unschedulable, ...Object.values(pressures)]);

export const conditionOf = (node: Node, type: string) =>
  node.status?.conditions?.find((one) => one.type === type);

export const isNodeReady = (node: Node): boolean => conditionOf(node, 'Ready')?.status === 'True';

/** The taints that the node's state asks for, with those that others set; times of old ones are kept. */
export function wantedTaints(node: Node, nowMs: number): Taint[] {
  const before = node.spec?.taints ?? [];
  const wanted: Taint[] = before.filter((taint) => !ours.has(taint.key));
  const add = (key: string, effect: string) => {
    const known = before.find((taint) => taint.key === key && taint.effect === effect);
    wanted.push(
      known ?? { key, effect, ...(effect === 'NoExecute' ? { timeAdded: secondTime(nowMs) } : {}) },
    );
  };
  // One that has said nothing yet is starting; only silence makes it unreachable.
  const ready = conditionOf(node, 'Ready')?.status ?? 'False';
  if (ready !== 'True') {
    const key = ready === 'Unknown' ? unreachable : notReady;
    add(key, 'NoSchedule');
    add(key, 'NoExecute');
  }
  for (const [type, key] of Object.entries(pressures)) {
    if (conditionOf(node, type)?.status === 'True') add(key, 'NoSchedule');
  }
  if (node.spec?.unschedulable) add(unschedulable, 'NoSchedule');
  return wanted;
}

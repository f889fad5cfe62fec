import type { Container, Node, Pod } from 'kubernetes-types/core/v1.js';
import { parseQuantity } from '../../lib/quantity.ts';

/** Amounts in thousandths by resource name. */
export type Amounts = ReadonlyMap<string, bigint>;

const amountsOf = (list: Readonly<Record<string, unknown>> | undefined): Map<string, bigint> => {
  const amounts = new Map<string, bigint>();
  for (const [name, text] of Object.entries(list ?? {})) {
    const quantity = parseQuantity(text as string | number);
    if (quantity) amounts.set(name, quantity.milli);
  }
  return amounts;
};

const plus = (into: Map<string, bigint>, more: Amounts) => {
  for (const [name, amount] of more) into.set(name, (into.get(name) ?? 0n) + amount);
};
const atLeast = (into: Map<string, bigint>, floor: Amounts) => {
  for (const [name, amount] of floor) if (amount > (into.get(name) ?? 0n)) into.set(name, amount);
};

/**
 * What a pod asks a node for: its containers and sidecars together, or the largest init container with the
 * sidecars started before it, whichever is more, and the overhead.
 */
export function podRequests(pod: Pod): Amounts {
  const before = known.get(pod);
  if (before) return before;
  const requests = countRequests(pod);
  known.set(pod, requests);
  return requests;
}

/** Cached objects never change, and the scheduler asks for the same ones again for each pod it places. */
const known = new WeakMap<Pod, Amounts>();

function countRequests(pod: Pod): Amounts {
  const total = new Map<string, bigint>();
  for (const container of pod.spec?.containers ?? []) plus(total, requestsOf(container));
  const sidecars = new Map<string, bigint>();
  const initPeak = new Map<string, bigint>();
  for (const container of pod.spec?.initContainers ?? []) {
    const own = requestsOf(container);
    if (container.restartPolicy === 'Always') plus(sidecars, own);
    const now = new Map(sidecars);
    if (container.restartPolicy !== 'Always') plus(now, own);
    atLeast(initPeak, now);
  }
  plus(total, sidecars);
  atLeast(total, initPeak);
  plus(total, amountsOf(pod.spec?.overhead));
  return total;
}

/** A limit without a request is a request, as the API defaults it. */
const requestsOf = (container: Container): Amounts =>
  amountsOf({ ...container.resources?.limits, ...container.resources?.requests });

export const allocatable = (node: Node): Amounts =>
  amountsOf(node.status?.allocatable ?? node.status?.capacity);

export function sumRequests(pods: readonly Pod[]): Amounts {
  const total = new Map<string, bigint>();
  for (const pod of pods) plus(total, podRequests(pod));
  return total;
}

/** The resources of which the node has not enough left; a node that says nothing of one has none of it. */
export function missingResources(wanted: Amounts, used: Amounts, has: Amounts): string[] {
  const missing: string[] = [];
  for (const [name, amount] of wanted) {
    if (amount > 0n && (used.get(name) ?? 0n) + amount > (has.get(name) ?? 0n)) missing.push(name);
  }
  return missing;
}

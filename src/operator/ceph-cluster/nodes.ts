import type { Node } from 'kubernetes-types/core/v1.js';
import type { Stored } from '../../api/resource.ts';
import { hasCondition } from '../../control/conditions.ts';

/** The value of kubernetes.io/hostname: what Rook’s manifests call the name of a node. */
export const nodeHostname = (node: Stored<Node>): string =>
  node.metadata.labels?.['kubernetes.io/hostname'] ?? node.metadata.name;

export const nodeAddress = (node: Stored<Node>): string =>
  node.status?.addresses?.find((address) => address.type === 'InternalIP')?.address ?? '';

/** Ready, not cordoned, and without a taint that keeps pods away. */
export function isUsableNode(node: Stored<Node>, unschedulableToo = false): boolean {
  const ready = hasCondition(node.status?.conditions, 'Ready');
  if (!ready || node.metadata.deletionTimestamp) return false;
  if (unschedulableToo) return true;
  const tainted = node.spec?.taints?.some(
    (taint) => taint.effect === 'NoSchedule' || taint.effect === 'NoExecute',
  );
  return !node.spec?.unschedulable && !tainted;
}

/** What of a node decides where daemons go. Its status tells of much else, of each volume that comes and goes too. */
export const placeOf = (node: Stored<Node>) => ({
  hostname: nodeHostname(node),
  address: nodeAddress(node),
  labels: node.metadata.labels,
  usable: isUsableNode(node),
  usableThough: isUsableNode(node, true),
});

/** A node’s name as CRUSH may hold it: no dots. */
export const crushHostName = (hostname: string): string => hostname.replaceAll('.', '-');

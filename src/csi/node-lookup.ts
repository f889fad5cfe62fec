import { CSINodes, Nodes } from '../api/core.ts';
import type { KubeClient } from '../kube/client.ts';

const trustForMs = 300_000;
const maxNodes = 10_000;

/**
 * Whether a node goes by an id of this driver's. A node's id is its name here, so that is looked for first. A yes
 * is believed for some minutes: each attach would pay for the question, and one to a node that has just gone does
 * no more harm than one a moment before.
 */
export function nodeLookup(
  client: KubeClient,
  driver: string,
  now: () => number,
): (node: string, signal: AbortSignal) => Promise<boolean> {
  const seenMs = new Map<string, number>();
  return async (node, signal) => {
    const seen = seenMs.get(node);
    if (seen !== undefined && now() - seen < trustForMs) return true;
    const there =
      (await client.get(CSINodes, { name: node }, { signal })) !== undefined ||
      (await client.list(CSINodes, {}, { signal })).items.some(({ spec }) =>
        spec?.drivers?.some(({ name, nodeID }) => name === driver && nodeID === node),
      );
    seenMs.delete(node);
    if (!there) return false;
    seenMs.set(node, now());
    const [oldest] = seenMs.keys();
    if (seenMs.size > maxNodes && oldest !== undefined) seenMs.delete(oldest);
    return true;
  };
}

/** A node's boot id, as its kubelet reports it. Asked each time: one that is remembered may be from before a restart. */
export const bootIdLookup =
  (client: KubeClient) =>
  async (node: string, signal: AbortSignal): Promise<string | undefined> =>
    (await client.get(Nodes, { name: node }, { signal }))?.status?.nodeInfo?.bootID || undefined;

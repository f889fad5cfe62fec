import { Pods } from '../api/core.ts';
import type { KubeClient } from '../kube/client.ts';

/** The image that this operator’s own pod runs: CSI and the prepare jobs are started from the same one. */
export async function readOwnImage(
  client: KubeClient,
  pod: { readonly namespace: string; readonly name: string },
  signal: AbortSignal,
): Promise<string | undefined> {
  const own = await client.get(Pods, pod, { signal });
  return own?.spec?.containers[0]?.image;
}

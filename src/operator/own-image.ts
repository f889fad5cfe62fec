import { Pods } from '../api/core.ts';
import { parseCephVersion, type CephVersion } from '../ceph/versions.ts';
import type { KubeClient } from '../kube/client.ts';
import { runCommand } from '../lib/run-command.ts';

/** The image that the operator's own pod runs, and the version of ceph-osd in it. */
export interface OwnImage {
  readonly name: string;
  readonly ceph: CephVersion;
}

/**
 * What this very pod was started from; undefined outside a pod, and where the image has no ceph-osd, as
 * those built for Kubernetes do: there the programs of Ceph's own image are used.
 */
export async function readOwnImage(
  client: KubeClient,
  pod: { readonly namespace: string; readonly name: string },
  signal: AbortSignal,
): Promise<OwnImage | undefined> {
  const [own, ceph] = await Promise.all([client.get(Pods, pod, { signal }), readOwnCephVersion(signal)]);
  const name = own?.spec?.containers[0]?.image;
  return name === undefined || ceph === undefined ? undefined : { name, ceph };
}

/** The version of the ceph-osd on this root, or undefined where there is none that runs. */
export async function readOwnCephVersion(signal: AbortSignal): Promise<CephVersion | undefined> {
  try {
    const { stdout } = await runCommand('ceph-osd', ['--version'], { signal, timeoutMs: 10_000 });
    return parseCephVersion(stdout);
  } catch {
    signal.throwIfAborted();
    return undefined;
  }
}

import { mkdir } from 'node:fs/promises';
import { join, posix } from 'node:path';
import type { Pod } from 'kubernetes-types/core/v1.js';

/** A folder that must be in a volume before a container starts: another volume is mounted on it. */
export interface NestedMount {
  /** The volume that holds the folder. */
  readonly volume: string;
  /** Below the volume's root: `keyring-store`. */
  readonly path: string;
}

/**
 * Mounts that lie below another mount, as the ConfigMap at /etc/ceph with a Secret at /etc/ceph/keyring. The
 * runtime cannot make the inner mount point where the outer one is read-only, so the node makes it before.
 */
export function nestedMounts(pod: Pod): NestedMount[] {
  const containers = [...(pod.spec?.initContainers ?? []), ...(pod.spec?.containers ?? [])];
  return containers.flatMap(({ volumeMounts = [] }) =>
    volumeMounts.flatMap((inner) => {
      const outer = volumeMounts
        .filter((one) => one !== inner && !one.subPath && isBelow(inner.mountPath, one.mountPath))
        .toSorted((a, b) => b.mountPath.length - a.mountPath.length)[0];
      if (!outer || inner.subPath) return [];
      return [{ volume: outer.name, path: posix.relative(outer.mountPath, inner.mountPath) }];
    }),
  );
}

function isBelow(inner: string, outer: string): boolean {
  const relative = posix.relative(outer, inner);
  return relative !== '' && !relative.startsWith('..') && !posix.isAbsolute(relative);
}

/** Makes the folders in volumes that are the node's own; `hostPathOf` gives undefined for all others. */
export async function makeNestedMounts(
  pod: Pod,
  hostPathOf: (volume: string) => string | undefined,
): Promise<void> {
  for (const { volume, path } of nestedMounts(pod)) {
    const hostPath = hostPathOf(volume);
    if (hostPath !== undefined) await mkdir(join(hostPath, path), { recursive: true, mode: 0o755 });
  }
}

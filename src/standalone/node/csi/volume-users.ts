import type { VolumesInUse } from './volumes-in-use.ts';

/** Which pods want or have a volume: before the mount, the disk does not know of them yet. */
export interface VolumeUsers {
  /** Resolves once the API knows that the volume is in use here. */
  add(uniqueName: string, podUid: string, signal: AbortSignal): Promise<void>;
  /** Answers the volumes that the pod had wanted. */
  removePod(podUid: string): readonly string[];
  /** Takes the volume off node.status.volumesInUse, where no pod wants it. */
  releaseIfUnused(uniqueName: string): void;
}

export function volumeUsers(inUse: VolumesInUse): VolumeUsers {
  const pods = new Map<string, Set<string>>();
  return {
    async add(uniqueName, podUid, signal) {
      const users = pods.get(uniqueName) ?? new Set<string>();
      pods.set(uniqueName, users.add(podUid));
      await inUse.add(uniqueName, signal);
    },
    removePod: (podUid) => [...pods].filter(([, users]) => users.delete(podUid)).map(([name]) => name),
    releaseIfUnused(uniqueName) {
      if ((pods.get(uniqueName)?.size ?? 0) > 0) return;
      pods.delete(uniqueName);
      inUse.remove(uniqueName);
    },
  };
}

/**
 * Which attached volumes this node uses, as node.status.volumesInUse says it: there before a volume is
 * staged, and until it is unstaged, so that attach/detach never takes a volume away under a mount.
 */
export interface VolumesInUse {
  /** Resolves when the API knows. */
  add(uniqueName: string, signal: AbortSignal): Promise<void>;
  remove(uniqueName: string): void;
  /** What the disk shows after a restart. */
  adopt(uniqueNames: readonly string[]): void;
  list(): readonly string[];
}

/** `publish` writes node.status.volumesInUse with the newest list. */
export function volumesInUse(publish: (signal?: AbortSignal) => Promise<void>): VolumesInUse {
  const names = new Set<string>();
  const published = new Set<string>();
  return {
    async add(uniqueName, signal) {
      names.add(uniqueName);
      if (published.has(uniqueName)) return;
      await publish(signal);
      if (names.has(uniqueName)) published.add(uniqueName);
    },
    remove(uniqueName) {
      names.delete(uniqueName);
      published.delete(uniqueName);
      // Late news only delays a detach: the next heartbeat carries it in any case.
      publish().catch(() => undefined);
    },
    adopt(uniqueNames) {
      for (const name of uniqueNames) names.add(name);
    },
    list: () => [...names].sort(),
  };
}

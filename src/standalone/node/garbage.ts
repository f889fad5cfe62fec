import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '../../lib/clock.ts';
import type { Logger } from '../../lib/log.ts';
import type { CsiVolumes } from './csi/csi-volumes.ts';
import { removeTree, namesIn } from './volumes/safe-remove.ts';
import { rotatedFiles } from './log-reader.ts';
import type { ObservedContainer, ObservedPod } from './observed.ts';
import type { ContainerRuntime } from './runtime.ts';
import type { RuntimeWatch } from './runtime-watch.ts';
import { terminationFile } from './termination-message.ts';

export interface GarbageDeps {
  readonly runtime: ContainerRuntime;
  readonly watch: RuntimeWatch;
  readonly csi: CsiVolumes;
  readonly kubeletRoot: string;
  readonly logRoot: string;
  readonly clock: Clock;
  readonly log: Logger;
  /** Uids of pods that have a worker. */
  hasWorker(uid: string): boolean;
  /** Has a pod of which only the runtime or the disk knows brought to its end. */
  startWorker(uid: string): void;
}

const everyMs = 60_000;

/** Dead containers and sandboxes that nobody reads any more: all but the newest two of a name. */
export function deadLeftovers(pod: ObservedPod): { containers: ObservedContainer[]; sandboxes: string[] } {
  const kept = new Map<string, number>();
  const containers: ObservedContainer[] = [];
  const used = new Set<string>();
  for (const container of pod.containers) {
    const seen = kept.get(container.name) ?? 0;
    kept.set(container.name, seen + 1);
    // The newest may be dead and shown as the state; the one before it is the last state.
    if (container.state === 'exited' && seen >= 2) containers.push(container);
    else used.add(container.sandboxId);
  }
  const [, ...older] = pod.sandboxes;
  const sandboxes = older.filter((one) => !one.ready && !used.has(one.id)).map((one) => one.id);
  return { containers, sandboxes };
}

/** Cleans up now and then, until the signal aborts. */
export async function runGarbage(deps: GarbageDeps, signal: AbortSignal): Promise<void> {
  const { clock, log } = deps;
  while (!signal.aborted) {
    await collect(deps, signal).catch((err: unknown) => {
      if (!signal.aborted) log.warn({ err }, 'cleaning up failed');
    });
    await clock.sleep(everyMs, signal).catch(() => undefined);
  }
}

async function collect(deps: GarbageDeps, signal: AbortSignal): Promise<void> {
  const { runtime, watch, csi, kubeletRoot, logRoot } = deps;
  if (watch.seenAtMs === 0) return; // The runtime has not been seen yet: nothing is known to be an orphan.
  const known = new Set([...watch.pods().keys(), ...(await namesIn(join(kubeletRoot, 'pods')))]);
  for (const uid of known) if (!deps.hasWorker(uid)) deps.startWorker(uid);
  for (const pod of watch.pods().values()) {
    const { containers, sandboxes } = deadLeftovers(pod);
    for (const container of containers) {
      await runtime.runtime.removeContainer({ containerId: container.id }, { signal });
      await removeTraces(container, kubeletRoot, pod.uid);
    }
    for (const podSandboxId of sandboxes)
      await runtime.runtime.removePodSandbox({ podSandboxId }, { signal });
  }
  for (const name of await namesIn(logRoot)) {
    const uid = name.slice(name.lastIndexOf('_') + 1);
    if (!deps.hasWorker(uid) && !watch.pods().has(uid)) await removeTree(join(logRoot, name), logRoot);
  }
  await csi.unstageUnused(signal);
}

/** Its logs and last words: a crash loop would fill the disk with them. */
async function removeTraces(
  container: ObservedContainer,
  kubeletRoot: string,
  podUid: string,
): Promise<void> {
  const { logPath } = container;
  const logs = logPath === '' ? [] : [...(await rotatedFiles(logPath)), logPath];
  for (const file of [...logs, terminationFile(kubeletRoot, podUid, container.name, container.attempt)])
    await rm(file, { force: true });
}

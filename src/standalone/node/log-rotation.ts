import { rename, rm, stat } from 'node:fs/promises';
import type { Clock } from '../../lib/clock.ts';
import type { Logger } from '../../lib/log.ts';
import { rotatedFiles } from './log-reader.ts';
import type { ContainerRuntime } from './runtime.ts';
import type { RuntimeWatch } from './runtime-watch.ts';

export interface LogRotationDeps {
  readonly runtime: ContainerRuntime;
  readonly watch: RuntimeWatch;
  readonly clock: Clock;
  readonly log: Logger;
}

const maxBytes = 10 * 1024 * 1024;
/** The live file and four older ones. */
const maxFiles = 5;
const everyMs = 10_000;
const reopenMs = 10_000;

/** Keeps each running container's logs to five files of about 10 MiB, until the signal aborts. */
export async function runLogRotation(
  { runtime, watch, clock, log }: LogRotationDeps,
  signal: AbortSignal,
): Promise<void> {
  while (!signal.aborted) {
    await clock.sleep(everyMs, signal).catch(() => undefined);
    for (const pod of watch.pods().values())
      for (const container of pod.containers) {
        if (signal.aborted) return;
        if (container.state !== 'running' || container.logPath === '') continue;
        await rotate(container.logPath, container.id).catch((err: unknown) => {
          if (!signal.aborted) log.warn({ err, path: container.logPath }, 'log not rotated');
        });
      }
  }

  async function rotate(path: string, containerId: string): Promise<void> {
    const status = await stat(path).catch(() => undefined);
    if (!status || status.size < maxBytes) return;
    const older = await rotatedFiles(path);
    for (const file of older.slice(0, Math.max(0, older.length - (maxFiles - 2))))
      await rm(file, { force: true });
    const stamp = new Date(clock.now()).toISOString().replace(/[-:]/g, '').replace('T', '-').slice(0, 15);
    const moved = `${path}.${stamp}`;
    await rename(path, moved);
    try {
      await runtime.runtime.reopenContainerLog({ containerId }, { signal, timeoutMs: reopenMs });
    } catch (error) {
      await rename(moved, path); // The runtime still writes to this file: give it its name back.
      throw error;
    }
  }
}

import { link, mkdir, readFile, rename, rm, unlink, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { randomBytes } from 'node:crypto';
import type { Clock } from './clock.ts';
import { identifyProcess, isRunning, type ProcessIdentity } from './process-identity.ts';

export interface LockFileOptions {
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /** Told once, with the holder's pid, where the lock has to be waited for. */
  readonly onWait?: (pid: number) => void;
}

const lookEveryMs = 100;

/**
 * Waits for a lock that only a running process holds: the file names its pid and start time, so that one
 * left by a process that was killed is taken over. Give it back with the answer's dispose.
 */
export async function takeLockFile(path: string, options: LockFileOptions): Promise<AsyncDisposable> {
  const { clock, signal, onWait } = options;
  const own = await identifyProcess(process.pid);
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  const draft = `${path}.${process.pid}.${randomBytes(4).toString('hex')}`;
  await writeFile(draft, JSON.stringify(own), { mode: 0o600 });
  let told = false;
  try {
    for (;;) {
      signal.throwIfAborted();
      // A link is made whole or not at all: nobody ever reads a lock without its holder's name.
      const taken = await link(draft, path).then(
        () => true,
        (error: NodeJS.ErrnoException) => {
          if (error.code === 'EEXIST') return false;
          throw error;
        },
      );
      if (taken) return { [Symbol.asyncDispose]: () => rm(path, { force: true }) };
      const holder = await readHolder(path);
      if (holder && (await isRunning(holder))) {
        if (!told) onWait?.(holder.pid);
        told = true;
        await clock.sleep(lookEveryMs, signal);
      } else await removeStale(path, `${draft}.stale`);
    }
  } finally {
    await unlink(draft);
  }
}

/** Two who find the same stale lock must not remove each other's new one: what was moved is looked at again. */
async function removeStale(path: string, aside: string): Promise<void> {
  const moved = await rename(path, aside).then(
    () => true,
    () => false, // The other one was quicker.
  );
  if (!moved) return;
  const holder = await readHolder(aside);
  if (holder && (await isRunning(holder))) await link(aside, path).catch(() => undefined);
  await rm(aside, { force: true });
}

async function readHolder(path: string): Promise<ProcessIdentity | undefined> {
  const text = await readFile(path, 'utf8').catch(() => undefined);
  return text === undefined ? undefined : (JSON.parse(text) as ProcessIdentity);
}

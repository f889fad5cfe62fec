import { spawn } from 'node:child_process';
import { mkdir, open } from 'node:fs/promises';
import { dirname } from 'node:path';
import { systemClock } from './clock.ts';
import { identifyProcess, isRunning, signalProcess, type ProcessIdentity } from './process-identity.ts';

export interface DetachedCommand {
  readonly file: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** stdout and stderr go here, appended. */
  readonly logFile: string;
  readonly cwd?: string;
}

/** Starts a process in a session of its own, so that it outlives us and a Ctrl-C of ours. */
export async function spawnDetached(command: DetachedCommand): Promise<ProcessIdentity> {
  await mkdir(dirname(command.logFile), { recursive: true, mode: 0o700 });
  const log = await open(command.logFile, 'a', 0o600);
  try {
    const child = spawn(command.file, command.args, {
      detached: true,
      stdio: ['ignore', log.fd, log.fd],
      env: { ...command.env, LC_ALL: 'C' },
      cwd: command.cwd ?? '/',
    });
    await new Promise<void>((resolve, reject) => {
      child.once('spawn', resolve);
      child.once('error', (cause) => reject(new Error(`${command.file} could not be started`, { cause })));
    });
    child.unref();
    const identity = child.pid === undefined ? undefined : await identifyProcess(child.pid);
    if (!identity) throw new Error(`${command.file} ended at once; see ${command.logFile}`);
    return identity;
  } finally {
    await log.close();
  }
}

/** SIGTERM, then SIGKILL after `graceMs`. Resolves when the process is gone. */
export async function endProcess(
  identity: ProcessIdentity | undefined,
  graceMs: number,
  signal: AbortSignal,
): Promise<void> {
  if (!identity) return;
  if (!(await signalProcess(identity, 'SIGTERM'))) return;
  const giveUpMs = systemClock.now() + graceMs;
  while (await isRunning(identity)) {
    if (systemClock.now() > giveUpMs) await signalProcess(identity, 'SIGKILL');
    await systemClock.sleep(20, signal);
  }
}

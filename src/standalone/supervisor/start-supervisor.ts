import { readFile } from 'node:fs/promises';
import type { Clock } from '../../lib/clock.ts';
import { isRunning, type ProcessIdentity } from '../../lib/process-identity.ts';
import { withDeadline } from '../../lib/deadline.ts';
import type { Layout } from '../layout.ts';
import { askSupervisor, type StopMode, type SupervisorStatus } from './control-socket.ts';
import { spawnDetached } from '../../lib/detached-process.ts';

export interface SupervisorRecord {
  readonly identity: ProcessIdentity;
  readonly release: string;
  /** Disks of each node: another number is another machine. */
  readonly disks: string;
}

/** The supervisor that runs now, or undefined. */
export async function findSupervisor(places: Layout): Promise<SupervisorRecord | undefined> {
  const text = await readFile(places.supervisorRecord, 'utf8').catch(() => undefined);
  if (text === undefined) return undefined;
  const record = JSON.parse(text) as SupervisorRecord;
  return (await isRunning(record.identity)) ? record : undefined;
}

/** What the running supervisor says of its units; undefined where none answers. */
export async function supervisorStatus(places: Layout): Promise<SupervisorStatus | undefined> {
  return (await askSupervisor(places.supervisorSocket, 'GET', '/status')) as SupervisorStatus | undefined;
}

export interface StopOptions {
  readonly clock: Clock;
  readonly signal: AbortSignal;
  readonly timeoutMs: number;
  /** Called with the units' state while they end. */
  readonly onStatus?: (status: SupervisorStatus) => void;
}

/** Asks the supervisor to end and waits until its process is gone. False where none ran. */
export async function stopSupervisor(places: Layout, mode: StopMode, options: StopOptions): Promise<boolean> {
  const { clock, signal, timeoutMs, onStatus } = options;
  const record = await findSupervisor(places);
  if (!record) return false;
  await withDeadline('stopping the supervisor', timeoutMs, signal, async (own) => {
    await askSupervisor(places.supervisorSocket, 'POST', `/stop/${mode}`);
    while (await isRunning(record.identity)) {
      const status = onStatus && (await supervisorStatus(places));
      if (status) onStatus(status);
      await clock.sleep(50, own);
    }
  });
  return true;
}

/** Waits for a supervisor that is ending by itself, and ends nothing. */
export async function untilSupervisorGone(places: Layout, options: StopOptions): Promise<void> {
  const { clock, signal, timeoutMs } = options;
  await withDeadline('the end of the supervisor', timeoutMs, signal, async (own) => {
    while (await findSupervisor(places)) await clock.sleep(50, own);
  });
}

export interface SupervisorCommand {
  /** Node's binary and the bundle, of the release that the supervisor shall run from. */
  readonly node: string;
  readonly bundle: string;
  readonly logFile: string;
}

/** Starts a supervisor in a session of its own and waits until it answers. */
export async function startSupervisor(
  places: Layout,
  command: SupervisorCommand,
  options: Omit<StopOptions, 'onStatus'>,
): Promise<void> {
  const identity = await spawnDetached({
    file: command.node,
    args: [command.bundle, 'supervisor', '--config', places.supervisorConfig],
    env: {},
    logFile: command.logFile,
  });
  await withDeadline('start of the supervisor', options.timeoutMs, options.signal, async (signal) => {
    for (;;) {
      const found = await findSupervisor(places);
      if (found?.identity.pid === identity.pid && (await supervisorStatus(places))) return;
      if (!(await isRunning(identity))) {
        throw new Error(`the supervisor ended while it started; see ${command.logFile}`);
      }
      await options.clock.sleep(20, signal);
    }
  });
}

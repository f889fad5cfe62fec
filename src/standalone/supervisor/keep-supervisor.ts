import { readFile } from 'node:fs/promises';
import type { Clock } from '../../lib/clock.ts';
import type { Logger } from '../../lib/log.ts';
import { isRunning, type ProcessIdentity } from '../../lib/process-identity.ts';
import type { Layout } from '../layout.ts';
import { findSupervisor, startSupervisor, type SupervisorCommand } from './start-supervisor.ts';

const lookEveryMs = 1000;
const startTimeoutMs = 20_000;

/**
 * The other half of a pair: the supervisor restarts the server, and the server, with this, restarts the
 * supervisor. A kill of either is mended by the other. While `up` or `down` is at work it holds off, for
 * they end and start the supervisor on purpose.
 */
export async function keepSupervisor(
  places: Layout,
  command: SupervisorCommand,
  { clock, log, signal }: { readonly clock: Clock; readonly log: Logger; readonly signal: AbortSignal },
): Promise<void> {
  while (!signal.aborted) {
    try {
      await clock.sleep(lookEveryMs, signal);
      if ((await findSupervisor(places)) || (await isAtWork(places.upLock))) continue;
      log.warn('the supervisor is gone; starting it again');
      await startSupervisor(places, command, { clock, signal, timeoutMs: startTimeoutMs });
    } catch (error) {
      if (!signal.aborted) log.error({ err: error }, 'the supervisor could not be started again');
    }
  }
}

async function isAtWork(lockFile: string): Promise<boolean> {
  const text = await readFile(lockFile, 'utf8').catch(() => undefined);
  return text !== undefined && (await isRunning(JSON.parse(text) as ProcessIdentity));
}

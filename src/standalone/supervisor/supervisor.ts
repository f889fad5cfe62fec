import { rm, stat, truncate } from 'node:fs/promises';
import { writeFileAtomic } from '../../lib/atomic-file.ts';
import type { Clock } from '../../lib/clock.ts';
import { withDeadline } from '../../lib/deadline.ts';
import type { Logger } from '../../lib/log.ts';
import { identifyProcess, type ProcessIdentity } from '../../lib/process-identity.ts';
import type { Layout } from '../layout.ts';
import { serveControl, type StopMode } from './control-socket.ts';
import { superviseUnits, type Supervision, type Unit } from './unit.ts';

export interface SupervisorOptions {
  readonly places: Layout;
  /** Makes the units; what they are given finds the process of a running one. */
  readonly units: (processOf: (name: string) => ProcessIdentity) => readonly Unit[];
  readonly release: string;
  readonly disks: string;
  readonly clock: Clock;
  readonly log: Logger;
  readonly signal: AbortSignal;
  /** Runs before the units are ended for good: pods are stopped while their storage still answers. */
  readonly beforeDown: (signal: AbortSignal, processOf: (name: string) => ProcessIdentity) => Promise<void>;
  /** How long pods, and then the units, may take to end; a test's are shorter. */
  readonly limits?: { readonly podsMs: number; readonly unitsMs: number };
  /** Runs when they are gone. */
  readonly afterDown: (signal: AbortSignal) => Promise<void>;
}

// Together less than `down` waits. Each has its own: pods that hang must not leave all the rest running.
const podsTimeoutMs = 80_000;
const unitsTimeoutMs = 50_000;
const logLimitBytes = 16 * 1024 * 1024;
const logLookMs = 60_000;

/**
 * Keeps the instance's processes running until it is told to stop. `handover`, a signal or a kill leave
 * them running for the next supervisor; only `down` ends them.
 */
export async function runSupervisor(options: SupervisorOptions): Promise<void> {
  const { places, release, clock, log, signal, beforeDown } = options;
  const units: readonly Unit[] = options.units((name) => supervision.processOf(name));
  const supervision: Supervision = superviseUnits({ units, recordDir: places.records, clock, log });
  const stop = new AbortController();
  const asked: { mode: StopMode } = { mode: 'handover' };
  const onSignal = () => stop.abort(signal.reason);
  signal.addEventListener('abort', onSignal, { once: true });

  const server = await serveControl(places.supervisorSocket, {
    status: () => ({ pid: process.pid, release, units: supervision.states(), stopping: stop.signal.aborted }),
    stop(wanted) {
      asked.mode = wanted;
      stop.abort(new Error(`asked to stop: ${wanted}`));
    },
  });
  // Whoever finds this record may ask on the socket: it is written once the socket answers.
  const own = await identifyProcess(process.pid);
  await writeFileAtomic(
    places.supervisorRecord,
    JSON.stringify({ identity: own, release, disks: options.disks }),
  );

  const logFiles = units.flatMap((unit) => unit.logFiles ?? []);
  const trimming = keepLogsShort(logFiles, clock, stop.signal);
  await supervision.run(stop.signal);
  await trimming;
  if (asked.mode === 'down') {
    const { podsMs = podsTimeoutMs, unitsMs = unitsTimeoutMs } = options.limits ?? {};
    const find = (name: string) => supervision.processOf(name);
    await withDeadline('stopping the pods', podsMs, undefined, (limit) => beforeDown(limit, find)).catch(
      (error: unknown) => log.error({ err: error }, 'pods were not stopped in order'),
    );
    await withDeadline('ending the processes', unitsMs, undefined, async (limit) => {
      await supervision.stopAll(limit);
      await options.afterDown(limit);
    });
    await rm(places.supervisorRecord, { force: true });
  }
  server.close();
  server.closeAllConnections();
  signal.removeEventListener('abort', onSignal);
}

/** Cuts a log off where it has grown too long. Writers append, so the file goes on from its new end. */
async function keepLogsShort(files: readonly string[], clock: Clock, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    for (const file of files) {
      const size = (await stat(file).catch(() => undefined))?.size ?? 0;
      if (size > logLimitBytes) await truncate(file, 0).catch(() => undefined);
    }
    await clock.sleep(logLookMs, signal).catch(() => undefined);
  }
}

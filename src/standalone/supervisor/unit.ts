import { mkdir, readFile, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { writeFileAtomic } from '../../lib/atomic-file.ts';
import { backoffMs } from '../../lib/backoff.ts';
import type { Clock } from '../../lib/clock.ts';
import { withDeadline } from '../../lib/deadline.ts';
import type { Logger } from '../../lib/log.ts';
import { isRunning, type ProcessIdentity } from '../../lib/process-identity.ts';

/**
 * One process (or the first process of a namespace) that the supervisor keeps alive. It outlives the
 * supervisor: the next one finds it by its recorded pid and start time.
 */
export interface Unit {
  readonly name: string;
  /** Units that must be up before this one starts, and whose restart restarts it. */
  readonly needs: readonly string[];
  /** Units that must be up before this one starts; their restart does not concern it. */
  readonly after?: readonly string[];
  /** What it was started from; where it differs from the record's, the unit is restarted. */
  readonly version: string;
  /** Where it writes; kept short by the supervisor. */
  readonly logFiles?: readonly string[];
  /**
   * Starts it, cleaning up whatever a half-made start left, calls `spawned` as soon as there is a
   * process, and resolves when it is ready. A start that fails is followed by `stop`.
   */
  start(signal: AbortSignal, spawned: (identity: ProcessIdentity) => Promise<void>): Promise<ProcessIdentity>;
  /** Ends it and takes down what belongs to it. Called for dead processes too. */
  stop(identity: ProcessIdentity | undefined, signal: AbortSignal): Promise<void>;
}

export interface UnitState {
  readonly name: string;
  readonly phase: 'waiting' | 'starting' | 'running' | 'backing-off' | 'stopped';
  readonly pid?: number;
  readonly sinceMs: number;
  readonly restarts: number;
  readonly adopted: boolean;
  /** Why it is not running, for a person. */
  readonly message?: string;
}

export interface SupervisionOptions {
  readonly units: readonly Unit[];
  /** Holds one `<name>.json` a unit. */
  readonly recordDir: string;
  readonly clock: Clock;
  readonly log: Logger;
  readonly startTimeoutMs?: number;
  readonly stopTimeoutMs?: number;
}

export interface Supervision {
  states(): readonly UnitState[];
  /** The process of a running unit; throws where it is not running. */
  processOf(name: string): ProcessIdentity;
  /** Keeps the units running until the signal aborts; leaves them running then. */
  run(signal: AbortSignal): Promise<void>;
  /** Ends all units, last started first; rejects where one could not be, after it tried the others. */
  stopAll(signal: AbortSignal): Promise<void>;
}

interface UnitRecord {
  readonly identity: ProcessIdentity;
  readonly version: string;
  /** False from its spawn until it was ready: whoever finds it so ends it and starts anew. */
  readonly ready: boolean;
}

const lookEveryMs = 500; // A dead pid is seen this late; a look costs one small read a unit.
const steadyMs = 60_000; // Ran this long: the next failure starts the backoff anew.

export function superviseUnits(options: SupervisionOptions): Supervision {
  const { recordDir, stopTimeoutMs = 25_000 } = options;
  const book = openBook(options);
  const { units, clock, log, states, identities, recordPath, setState } = book;
  return {
    processOf(name) {
      const identity = identities.get(name);
      if (!identity) throw new Error(`${name} is not running`);
      return identity;
    },
    states: () => units.map((unit) => states.get(unit.name) ?? waiting(unit, clock)),
    async run(signal) {
      await mkdir(recordDir, { recursive: true, mode: 0o700 });
      for (const unit of units) await adopt(book, unit, signal);
      while (!signal.aborted) {
        try {
          const progressed = await look(book, signal);
          if (!progressed) await clock.sleep(lookEveryMs, signal);
        } catch (error) {
          if (signal.aborted) return;
          log.error({ err: error }, 'a look at the units failed');
          await clock.sleep(lookEveryMs, signal).catch(() => undefined);
        }
      }
    },
    stopAll: (signal) =>
      stopInReverse(units, log, async (unit) => {
        const identity = identities.get(unit.name) ?? (await readRecord(recordPath(unit)))?.identity;
        await withDeadline(`end of ${unit.name}`, stopTimeoutMs, signal, (own) => unit.stop(identity, own));
        identities.delete(unit.name);
        await rm(recordPath(unit), { force: true });
        setState(unit, { phase: 'stopped' });
      }),
  };
}

/** What is known of the units. */
interface Book {
  readonly units: readonly Unit[];
  readonly clock: Clock;
  readonly log: Logger;
  readonly startTimeoutMs: number;
  readonly states: ReadonlyMap<string, UnitState>;
  /** Of those that run. */
  readonly identities: Map<string, ProcessIdentity>;
  /** Failures in a row, and when the next try is due. */
  readonly attempts: Map<string, { readonly count: number; readonly notBeforeMs: number }>;
  recordPath(unit: Unit): string;
  setState(unit: Unit, change: Partial<UnitState> & Pick<UnitState, 'phase'>): void;
}

function openBook({ units, recordDir, clock, log, startTimeoutMs = 60_000 }: SupervisionOptions): Book {
  const states = new Map<string, UnitState>();
  return {
    units,
    clock,
    log,
    startTimeoutMs,
    states,
    identities: new Map(),
    attempts: new Map(),
    recordPath: (unit) => join(recordDir, `${unit.name}.json`),
    setState(unit, change) {
      const old = states.get(unit.name);
      const {
        message: _message,
        pid: _pid,
        ...rest
      } = old ?? { name: unit.name, restarts: 0, adopted: false };
      states.set(unit.name, { ...rest, sinceMs: clock.now(), ...change });
    },
  };
}

/** Takes up the process that an earlier supervisor left, or ends it where it is not what is wanted now. */
async function adopt(book: Book, unit: Unit, signal: AbortSignal): Promise<void> {
  const { identities, setState, log } = book;
  const record = await readRecord(book.recordPath(unit));
  if (!record || !(await isRunning(record.identity))) return;
  if (record.ready && record.version === unit.version) {
    identities.set(unit.name, record.identity);
    setState(unit, { phase: 'running', pid: record.identity.pid, adopted: true });
    log.info({ unit: unit.name, pid: record.identity.pid }, 'adopted a running process');
    return;
  }
  log.info(
    { unit: unit.name, from: record.version, to: unit.version, ready: record.ready },
    'starting it anew',
  );
  await unit.stop(record.identity, signal);
}

async function start(book: Book, unit: Unit, signal: AbortSignal): Promise<void> {
  const { identities, attempts, setState, clock, log } = book;
  const attempt = attempts.get(unit.name) ?? { count: 0, notBeforeMs: 0 };
  setState(unit, { phase: 'starting', adopted: false });
  let last: ProcessIdentity | undefined;
  const record = async (identity: ProcessIdentity, ready: boolean) => {
    last = identity;
    const content: UnitRecord = { identity, version: unit.version, ready };
    await writeFileAtomic(book.recordPath(unit), JSON.stringify(content));
  };
  try {
    const identity = await withDeadline(`start of ${unit.name}`, book.startTimeoutMs, signal, (own) =>
      unit.start(own, (early) => record(early, false)),
    );
    await record(identity, true);
    identities.set(unit.name, identity);
    setState(unit, { phase: 'running', pid: identity.pid });
    log.info({ unit: unit.name, pid: identity.pid }, 'started');
  } catch (error) {
    signal.throwIfAborted();
    await unit.stop(last, signal);
    const delay = backoffMs(attempt.count, { baseMs: 200, maxMs: 15_000 });
    attempts.set(unit.name, { count: attempt.count + 1, notBeforeMs: clock.now() + delay });
    const message = error instanceof Error ? error.message : String(error);
    setState(unit, { phase: 'backing-off', message });
    log.error({ unit: unit.name, err: error, retryInMs: delay }, 'could not be started');
  }
}

/** What needed the dead process ends with it: both are started anew. */
async function noteDeath(book: Book, unit: Unit, signal: AbortSignal): Promise<void> {
  const { units, states, identities, attempts, setState, clock, log } = book;
  const state = states.get(unit.name);
  const ranMs = clock.now() - (state?.sinceMs ?? 0);
  log.warn({ unit: unit.name, pid: identities.get(unit.name)?.pid, ranMs }, 'ended; starting it again');
  const count = ranMs > steadyMs ? 0 : (attempts.get(unit.name)?.count ?? 0);
  const delay = count === 0 ? 0 : backoffMs(count, { baseMs: 200, maxMs: 15_000 });
  attempts.set(unit.name, { count: count + 1, notBeforeMs: clock.now() + delay });
  const dead = identities.get(unit.name);
  identities.delete(unit.name);
  setState(unit, { phase: 'waiting', restarts: (state?.restarts ?? 0) + 1, message: 'its process ended' });
  for (const dependent of units.filter((other) => other.needs.includes(unit.name))) {
    const identity = identities.get(dependent.name);
    if (!identity) continue;
    identities.delete(dependent.name);
    await dependent.stop(identity, signal);
    setState(dependent, { phase: 'waiting', message: `${unit.name} was restarted` });
  }
  await unit.stop(dead, signal);
}

/** Whether anything was started. */
async function look(book: Book, signal: AbortSignal): Promise<boolean> {
  const { units, identities, attempts, clock } = book;
  for (const unit of units) {
    const identity = identities.get(unit.name);
    if (identity && !(await isRunning(identity))) await noteDeath(book, unit, signal);
  }
  const startable = units.filter(
    (unit) =>
      !identities.has(unit.name) &&
      [...unit.needs, ...(unit.after ?? [])].every((need) => identities.has(need)) &&
      (attempts.get(unit.name)?.notBeforeMs ?? 0) <= clock.now(),
  );
  await Promise.all(startable.map((unit) => start(book, unit, signal)));
  return startable.length > 0;
}

/** Tries every unit; rejects with what the first one said that could not be ended, whose record stays. */
async function stopInReverse(
  units: readonly Unit[],
  log: Logger,
  stop: (unit: Unit) => Promise<void>,
): Promise<void> {
  const failures: Error[] = [];
  for (const unit of units.toReversed()) {
    try {
      await stop(unit);
      log.info({ unit: unit.name }, 'stopped');
    } catch (cause) {
      log.error({ unit: unit.name, err: cause }, 'could not be ended');
      failures.push(new Error(`${unit.name} could not be ended`, { cause }));
    }
  }
  if (failures[0]) throw failures[0];
}

const waiting = (unit: Unit, clock: Clock): UnitState => ({
  name: unit.name,
  phase: 'waiting',
  sinceMs: clock.now(),
  restarts: 0,
  adopted: false,
});

/** Names of the units whose recorded process still runs, whoever looks after them. */
export async function recordedProcesses(recordDir: string): Promise<string[]> {
  const names: string[] = [];
  for (const file of await readdir(recordDir).catch(() => [])) {
    const record = await readRecord(join(recordDir, file));
    if (record && (await isRunning(record.identity))) names.push(file.replace(/\.json$/, ''));
  }
  return names;
}

async function readRecord(path: string): Promise<UnitRecord | undefined> {
  const text = await readFile(path, 'utf8').catch(() => undefined);
  if (text === undefined) return undefined;
  try {
    return JSON.parse(text) as UnitRecord;
  } catch {
    return undefined; // Written atomically, so this is not ours: the unit is simply started.
  }
}

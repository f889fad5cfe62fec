import type { Clock } from '../lib/clock.ts';
import type { Logger } from '../lib/log.ts';
import { done, requeueAfter, type Outcome } from './outcome.ts';

/** What a step answers: it is over, or it waits for something and wants to be asked again. */
export type StepResult =
  | { readonly kind: 'done'; readonly note?: string }
  | { readonly kind: 'wait'; readonly afterMs: number; readonly reason: string };

export const stepDone = (note?: string): StepResult =>
  note === undefined ? { kind: 'done' } : { kind: 'done', note };
export const stepWaits = (reason: string, afterMs: number): StepResult => ({ kind: 'wait', afterMs, reason });

export interface StepContext {
  readonly signal: AbortSignal;
  readonly log: Logger;
  /** What earlier steps recorded. */
  readonly data: Readonly<Record<string, string>>;
  /** Keeps a value for later steps and processes; it is stored when this resolves. No secrets. */
  record(key: string, value: string): Promise<void>;
  /** When this step was first started, in milliseconds since the epoch: for its own deadline. */
  readonly startedMs: number;
}

/**
 * One step. A process may be killed at any point of it, so `run` is idempotent: it may be called again
 * after it was done but before that was noted. `isDone`, where given, is asked first in that case.
 */
export interface Step {
  readonly name: string;
  run(context: StepContext): Promise<StepResult>;
  isDone?(context: StepContext): Promise<boolean>;
}

export interface StepRecord {
  readonly name: string;
  readonly startedAt: string;
  readonly finishedAt?: string;
  readonly attempts: number;
  /** Why it waits, or what it noted. */
  readonly message?: string;
}

/** A journal as stored. */
export interface JournalState {
  readonly name: string;
  readonly startedAt: string;
  readonly steps: readonly StepRecord[];
  readonly data: Readonly<Record<string, string>>;
}

/**
 * Where journals are kept. Each save is a compare-and-swap against what this store last read or saved; a
 * Conflict means that another process works on the same journal.
 */
export interface JournalStore {
  load(name: string): Promise<JournalState | undefined>;
  save(state: JournalState): Promise<void>;
  /** Moves the journal to the bounded history. */
  finish(state: JournalState, finishedAt: string): Promise<void>;
}

export interface JournalRun {
  readonly store: JournalStore;
  /** Which change this is, such as `mon-failover-b`: a new name is a new journal. */
  readonly name: string;
  readonly steps: readonly Step[];
  readonly signal: AbortSignal;
  readonly clock: Clock;
  readonly log: Logger;
  /** Recorded when the journal begins. */
  readonly data?: Readonly<Record<string, string>>;
}

/**
 * Takes a named change as far as it goes: each step is noted before it starts and when it is over, so
 * that whoever comes next goes on where the last one was killed. `done` when the last step is over;
 * a requeue where a step waits. A step's throw is thrown, with the journal left at that step.
 */
export async function runJournal(run: JournalRun): Promise<Outcome> {
  const { store, name, steps, signal, clock } = run;
  assertDistinct(steps);
  const timeNow = () => new Date(clock.now()).toISOString();
  let state: JournalState = (await store.load(name)) ?? {
    name,
    startedAt: timeNow(),
    steps: [],
    data: run.data ?? {},
  };
  const save = async (next: JournalState) => {
    signal.throwIfAborted();
    await store.save(next);
    state = next;
  };

  for (const step of steps) {
    const before = state.steps.find((one) => one.name === step.name);
    if (before?.finishedAt !== undefined) continue;
    const record: StepRecord = {
      name: step.name,
      startedAt: before?.startedAt ?? timeNow(),
      attempts: (before?.attempts ?? 0) + 1,
      ...(before?.message === undefined ? {} : { message: before.message }),
    };
    // Waiting steps are asked every few seconds: only their first start is worth a write.
    if (!before) await save(withStep(state, record));
    const context: StepContext = {
      signal,
      log: run.log.child({ journal: name, step: step.name }),
      get data() {
        return state.data;
      },
      record: async (key, value) => {
        if (state.data[key] !== value) await save({ ...state, data: { ...state.data, [key]: value } });
      },
      startedMs: Date.parse(record.startedAt),
    };
    const already = before !== undefined && ((await step.isDone?.(context)) ?? false);
    const result = already ? stepDone('was done already') : await step.run(context);
    if (result.kind === 'wait') {
      if (before?.message !== result.reason)
        await save(withStep(state, { ...record, message: result.reason }));
      return requeueAfter(result.afterMs);
    }
    const { message: _reason, ...rest } = record;
    const note = result.note === undefined ? {} : { message: result.note };
    await save(withStep(state, { ...rest, ...note, finishedAt: timeNow() }));
    context.log.info({ attempts: record.attempts }, 'journal step is over');
  }
  await store.finish(state, timeNow());
  return done;
}

/** The step a journal stands at, for a status: its name, since when, and what it waits for. */
export const currentStep = (state: JournalState): StepRecord | undefined =>
  state.steps.find((step) => step.finishedAt === undefined);

function withStep(state: JournalState, record: StepRecord): JournalState {
  const known = state.steps.some((one) => one.name === record.name);
  const steps = known
    ? state.steps.map((one) => (one.name === record.name ? record : one))
    : [...state.steps, record];
  return { ...state, steps };
}

function assertDistinct(steps: readonly Step[]): void {
  if (new Set(steps.map((step) => step.name)).size !== steps.length) {
    throw new TypeError('two steps of a journal have one name');
  }
}

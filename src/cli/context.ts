import type { Clock } from '../lib/clock.ts';
import type { Screen } from './progress.ts';

/** Where an instance lives unless it is said otherwise. */
export const defaultDataDir = '/var/lib/holdfast';

/** A verb as it is typed for this data directory. */
export const command = (verb: string, dataDir: string): string =>
  `holdfast ${verb}${dataDir === defaultDataDir ? '' : ` --data-dir ${dataDir}`}`;

/** What the instances of this machine have of it, so that two that start at once choose apart. */
export const claimsDir = '/run/holdfast';

/** What every verb gets: nothing else of the process is read below main.ts. */
export interface CliContext {
  readonly dataDir: string;
  /** Where trees and a downloaded kubectl are kept. */
  readonly cacheDir: string;
  readonly claimsDir: string;
  /** The folder of the running bundle. */
  readonly dist: string;
  readonly node: string;
  readonly env: NodeJS.ProcessEnv;
  readonly screen: Screen;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

/** The process that a verb runs in, as main.ts made it. */
export interface CliProcess {
  /** A verb's context; its data directory is the one that `--data-dir` chose. */
  readonly context: CliContext;
  /** From here on a Ctrl-C is an orderly end, which `told` explains to the person. */
  listen(told: string): void;
  /** From here on the work is finished though nobody reads what it says: an instance is never left half-made. */
  finishUnread(): void;
  version(): Promise<string>;
  /** Sets the code that the process ends with. */
  exitWith(code: number): void;
}

/** A mistake of the person's, or a state they can mend: its message is all they see. Exit code 1. */
export class CliError extends Error {
  readonly code = 'CLI';
}

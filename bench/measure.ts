import type { BenchInstance } from './instance.ts';
import type { Measured } from './result.ts';

/** One chapter of the bench. */
export interface Measure {
  /** What `npm run bench -- NAME` picks it by. */
  readonly name: string;
  /** The state that it starts from: an instance with or without Ceph in it. */
  readonly needs: 'instance' | 'ceph';
  run(context: MeasureContext): Promise<readonly Measured[]>;
}

export interface MeasureContext {
  readonly instance: BenchInstance;
  readonly signal: AbortSignal;
  /** A line for people on where the time went. */
  readonly note: (text: string) => void;
}

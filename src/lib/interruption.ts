/** A person or a supervisor asked this process to end. */
export class InterruptedError extends Error {
  readonly code = 'INTERRUPTED';
}

/** The end of the process, as one signal that everything listens to. */
export interface Interruption {
  readonly signal: AbortSignal;
  /** From here on, the first SIGINT or SIGTERM is an orderly end, and a second one ends the process at once. */
  listen(): void;
}

export function processInterruption(): Interruption {
  const stop = new AbortController();
  return {
    signal: stop.signal,
    listen() {
      for (const name of ['SIGINT', 'SIGTERM'] as const) {
        process.on(name, () => {
          if (stop.signal.aborted) process.exit(130);
          stop.abort(new InterruptedError(name));
        });
      }
    },
  };
}

/** A container that cannot be started as its pod is written; `reason` is what kubectl shows. */
export class StartError extends Error {
  readonly code = 'START_FAILED';
  readonly reason: string;

  constructor(reason: string, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'StartError';
    this.reason = reason;
  }
}

export const isStartError = (error: unknown): error is StartError => error instanceof StartError;

/** The pod asks for something that is not there or contradicts itself. */
export const configError = (message: string): StartError =>
  new StartError('CreateContainerConfigError', message);

/** An answer of Ceph's that is no success. `errno` is positive; `name` its symbol, such as ENOENT. */
export class CephError extends Error {
  readonly code = 'CEPH_ERROR';
  readonly errno: number;
  readonly errnoName: string;
  readonly operation: string;
  readonly text: string;
  /** True where the same call may go through later: a dead broker, a time-out, an unreachable mon. */
  readonly retryable: boolean;

  constructor(errno: number, errnoName: string, operation: string, text: string, retryable = false) {
    super(`${operation}: ${errnoName}${text ? `: ${text}` : ''}`);
    this.name = 'CephError';
    this.errno = errno;
    this.errnoName = errnoName;
    this.operation = operation;
    this.text = text;
    this.retryable = retryable;
  }
}

export const isCephError = (error: unknown, errnoName?: string): error is CephError =>
  error instanceof CephError && (errnoName === undefined || error.errnoName === errnoName);

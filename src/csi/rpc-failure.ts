import { isCephError } from '../ceph/errors.ts';
import { isDeadlineError } from '../lib/deadline.ts';
import { Code, isRpcError, RpcError } from '../lib/grpc.ts';
import { isLockTaken } from '../lib/keyed-lock.ts';
import { isHandleError } from './handle.ts';

/** The one place where a failure becomes a gRPC code and a text that says what to do. */
export function rpcFailure(operation: string, error: unknown): RpcError {
  if (isRpcError(error)) return error;
  if (isHandleError(error)) return new RpcError(Code.INVALID_ARGUMENT, error.message, { cause: error });
  if (isLockTaken(error)) {
    const since = new Date(error.sinceMs).toISOString();
    const text = `an operation with the given Volume ID ${error.key} already exists: ${error.heldBy}, since ${since}`;
    return new RpcError(Code.ABORTED, text, { cause: error });
  }
  if (isDeadlineError(error))
    return new RpcError(Code.DEADLINE_EXCEEDED, `${operation}: ${error.message}`, { cause: error });
  if (isCephError(error))
    return new RpcError(codeOf(error.errnoName, error.retryable), `${operation}: ${error.message}`, {
      cause: error,
    });
  return new RpcError(
    Code.INTERNAL,
    `${operation}: ${error instanceof Error ? error.message : String(error)}`,
    { cause: error },
  );
}

function codeOf(errno: string, retryable: boolean) {
  if (retryable) return Code.UNAVAILABLE;
  if (errno === 'EACCES' || errno === 'EPERM') return Code.PERMISSION_DENIED;
  if (errno === 'ENOSPC' || errno === 'EDQUOT') return Code.RESOURCE_EXHAUSTED;
  if (errno === 'ETIMEDOUT') return Code.UNAVAILABLE;
  return Code.INTERNAL;
}

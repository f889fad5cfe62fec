import { Code, isRpcError } from '../../lib/grpc.ts';
import { rpcFailure } from '../rpc-failure.ts';

/**
 * Runs a call of the driver's own Controller service in this process; what the sidecars of other drivers ask over a
 * socket. A failure becomes an RpcError here, with the code and text that a caller over the socket sees.
 */
export async function callController<R>(name: string, call: () => Promise<R>): Promise<R> {
  try {
    return await call();
  } catch (error) {
    throw rpcFailure(name, error);
  }
}

/** `rpc error: code = InvalidArgument desc = ...`, as upstream's sidecars write it into events. */
export function describeFailure(error: unknown): string {
  if (!isRpcError(error)) return error instanceof Error ? error.message : String(error);
  const name = Code[error.code] ?? 'UNKNOWN';
  const camel = name
    .toLowerCase()
    .replace(/(^|_)([a-z])/g, (_, _bar: string, letter: string) => letter.toUpperCase());
  return `rpc error: code = ${camel} desc = ${error.message}`;
}

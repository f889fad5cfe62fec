import type { Controller } from '../../gen/csi/v1/csi_pb.js';
import { Code, isRpcError, RpcError, type UnaryHandlers } from '../../lib/grpc.ts';
import { rpcFailure } from '../rpc-failure.ts';

/**
 * The driver's own Controller service, called in this process: what the sidecars of other drivers ask over a
 * socket. Failures are RpcErrors, with the codes and texts that a caller over the socket sees.
 */
export type ControllerCalls = Partial<UnaryHandlers<typeof Controller.method>>;

/** Runs a call of it; a failure becomes an RpcError here as it does at the socket. */
export async function callController<R>(name: string, call: (() => Promise<R>) | undefined): Promise<R> {
  if (!call) throw new RpcError(Code.UNIMPLEMENTED, `${name} is not implemented`);
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

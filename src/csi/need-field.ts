import { Code, RpcError } from '../lib/grpc.ts';

/** Throws InvalidArgument where a request's required field is empty; `field` is its name in CSI's specification. */
export function needField(field: string, value: string): void {
  if (value === '') throw new RpcError(Code.INVALID_ARGUMENT, `${field} is empty`);
}

import { Code, isRpcError } from '../../src/lib/grpc.ts';

/** The name of the code that a call ends with. */
export async function codeOf(call: Promise<unknown>): Promise<string> {
  try {
    await call;
    return 'OK';
  } catch (error) {
    if (!isRpcError(error)) throw error;
    return Code[error.code] ?? '';
  }
}

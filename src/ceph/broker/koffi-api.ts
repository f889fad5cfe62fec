import type { KoffiFunction } from '../../lib/koffi.ts';

/** Calls on a pool thread. `args` stays referenced until the call ends, and with it every Buffer in it. */
export const callAsync = <T>(fn: KoffiFunction, ...args: readonly unknown[]): Promise<T> =>
  new Promise((resolve, reject) => {
    fn.async(...args, (error: Error | null, result: unknown) => {
      void args.length;
      if (error) reject(error);
      else resolve(result as T);
    });
  });

/** A C function's negative return code, as an error to be sent to the parent. */
export class CodeError extends Error {
  readonly code: number;
  readonly text: string;

  constructor(code: number, text = '') {
    super(text);
    this.name = 'CodeError';
    this.code = code;
    this.text = text;
  }
}

/** Calls on a pool thread and throws CodeError for a negative result. */
export async function check(fn: KoffiFunction, ...args: readonly unknown[]): Promise<number> {
  const code = Number(await callAsync<number | bigint>(fn, ...args));
  if (code < 0) throw new CodeError(code);
  return code;
}

/** errno of a missing thing, and of a buffer that is too small. */
export const noEntry = -2;
export const tooSmall = -34;

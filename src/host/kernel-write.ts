import { isCommandError } from '../lib/run-command.ts';
import type { HostTools } from './tools.ts';

/** The kernel's answer to a write: a bare errno; its own log has the words. What was written is not repeated. */
export class KernelRefusal extends Error {
  readonly code: string;
  readonly path: string;

  constructor(path: string, code: string) {
    super(`the kernel answered ${code} to a write to ${path}`);
    this.name = 'KernelRefusal';
    this.code = code;
    this.path = path;
  }
}

export const isKernelRefusal = (error: unknown): error is KernelRefusal => error instanceof KernelRefusal;

/** What the C library calls them in the C locale. */
const errnos: ReadonlyMap<string, string> = new Map([
  ['Operation not permitted', 'EPERM'],
  ['No such file or directory', 'ENOENT'],
  ['No such device or address', 'ENXIO'],
  ['Permission denied', 'EACCES'],
  ['Device or resource busy', 'EBUSY'],
  ['Invalid argument', 'EINVAL'],
  ['Cannot send after transport endpoint shutdown', 'ESHUTDOWN'],
  ['Connection timed out', 'ETIMEDOUT'],
  ['Operation now in progress', 'EINPROGRESS'],
]);

/**
 * Writes `text` to a file of /sys in one piece, by a process of its own: such a write lasts as long as what the
 * kernel waits for is away, nothing but the end of the writing process makes it give up, and here it would hold
 * one of the few threads that every file access of this process shares. Settles only when that process is gone, so
 * that whoever holds a lock meanwhile keeps it until the kernel has let go.
 */
export async function kernelWrite(
  tools: HostTools,
  path: string,
  text: string,
  { signal, timeoutMs }: { readonly signal: AbortSignal; readonly timeoutMs: number },
): Promise<void> {
  // By stdin, for a key may be in it. fullblock, because half of a request would be another request.
  const args = [`of=${path}`, 'bs=65536', 'iflag=fullblock', 'conv=nocreat,notrunc', 'status=none'];
  try {
    await tools.run('dd', args, { signal, timeoutMs, input: text });
  } catch (error) {
    const words = isCommandError(error) ? /error writing '[^']*': (.+)$/m.exec(error.stderr)?.[1] : undefined;
    const code = words === undefined ? undefined : (errnos.get(words) ?? words);
    throw code === undefined ? error : new KernelRefusal(path, code);
  }
}

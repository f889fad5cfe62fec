import { spawn } from 'node:child_process';
import { DeadlineError } from './deadline.ts';

export interface CommandOptions {
  readonly signal: AbortSignal;
  /** Killed with SIGKILL after this long; 30 s where not said. */
  readonly timeoutMs?: number;
  /** Written to stdin. Secrets go here or in files of mode 0600, never in `args`. */
  readonly input?: string | Uint8Array;
  /** The whole environment; LC_ALL=C and a PATH are added. */
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  /** Output kept per stream; more fails the call. 16 MiB where not said. */
  readonly maxBytes?: number;
}

export interface CommandResult {
  readonly stdout: string;
  readonly stderr: string;
}

/** A command that ended with another exit code than 0. stderr is inside the message. */
export class CommandError extends Error {
  readonly code = 'COMMAND_FAILED';
  readonly file: string;
  readonly exitCode: number | undefined;
  readonly killedBy: NodeJS.Signals | undefined;
  readonly stdout: string;
  readonly stderr: string;

  constructor(
    file: string,
    exitCode: number | undefined,
    killedBy: NodeJS.Signals | undefined,
    stdout: string,
    stderr: string,
  ) {
    const how = killedBy ? `was killed by ${killedBy}` : `ended with ${exitCode}`;
    super(`${file} ${how}${stderr.trim() ? `: ${stderr.trim().slice(-2000)}` : ''}`);
    this.name = 'CommandError';
    this.file = file;
    this.exitCode = exitCode;
    this.killedBy = killedBy;
    this.stdout = stdout;
    this.stderr = stderr;
  }
}

export const isCommandError = (error: unknown): error is CommandError => error instanceof CommandError;

// Said here and not inherited: what a command finds must not depend on who started us.
const systemPath = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** The one place that runs a tool: no shell, an argument list, LC_ALL=C, a time limit, stderr in the error. */
export async function runCommand(
  file: string,
  args: readonly string[],
  options: CommandOptions,
): Promise<CommandResult> {
  const { signal, timeoutMs = 30_000, input, env, cwd, maxBytes = 16 * 1024 * 1024 } = options;
  signal.throwIfAborted();
  const child = spawn(file, args, {
    env: { PATH: systemPath, ...env, LC_ALL: 'C' },
    stdio: [input === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe'],
    ...(cwd === undefined ? {} : { cwd }),
  });
  return await new Promise<CommandResult>((resolve, reject) => {
    const out: Buffer[] = [];
    const err: Buffer[] = [];
    let bytes = 0;
    let failure: Error | undefined;
    const stop = (error: Error) => {
      failure ??= error;
      child.kill('SIGKILL');
    };
    const keep = (chunks: Buffer[]) => (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes > maxBytes) stop(new Error(`${file} printed more than ${maxBytes} bytes`));
      else chunks.push(chunk);
    };
    const timer = setTimeout(() => stop(new DeadlineError(file, timeoutMs)), timeoutMs);
    const onAbort = () => stop(signal.reason as Error);
    signal.addEventListener('abort', onAbort, { once: true });
    const settle = (act: () => void) => {
      clearTimeout(timer);
      signal.removeEventListener('abort', onAbort);
      act();
    };
    child.stdout?.on('data', keep(out));
    child.stderr?.on('data', keep(err));
    child.stdin?.on('error', () => undefined); // A command that ends early closes its stdin; its exit code says enough.
    child.stdin?.end(input);
    child.once('error', (cause) =>
      settle(() => reject(new Error(`${file} could not be started`, { cause }))),
    );
    child.once('close', (exitCode, killedBy) =>
      settle(() => {
        const stdout = Buffer.concat(out).toString();
        const stderr = Buffer.concat(err).toString();
        if (failure) reject(failure);
        else if (exitCode === 0) resolve({ stdout, stderr });
        else reject(new CommandError(file, exitCode ?? undefined, killedBy ?? undefined, stdout, stderr));
      }),
    );
  });
}

import type { ChildProcess } from 'node:child_process';
import type { Readable } from 'node:stream';
import { encodeFrame, frameReader, type BrokerRequest, type BrokerResponse } from './protocol.ts';

/** One life of a broker child. */
export interface BrokerSession {
  readonly pid: number | undefined;
  /** Resolves with how it ended. */
  readonly ended: Promise<string>;
  send(request: BrokerRequest, onResponse: (response: BrokerResponse) => void): void;
  /** SIGKILL; `reason` is what `ended` tells. */
  kill(reason: string): void;
  /** Closes its stdin, upon which it ends by itself. */
  end(): Promise<void>;
}

const keptStderrBytes = 4096; // An assertion in C++ prints a page; its first lines say what failed.

export function startSession(
  child: ChildProcess,
  onEnd: (session: BrokerSession, how: string) => void,
): BrokerSession {
  const handlers = new Map<number, (response: BrokerResponse) => void>();
  let reason: string | undefined;
  let stderr = '';
  const answers = child.stdio[3] as Readable;
  const read = frameReader((message) => {
    const response = message as BrokerResponse;
    const handler = handlers.get(response.id);
    handlers.delete(response.id);
    handler?.(response);
  });
  answers.on('data', (chunk: Buffer) => {
    try {
      read(chunk);
    } catch (error) {
      session.kill(String(error));
    }
  });
  answers.on('error', () => undefined);
  child.stdin?.on('error', () => undefined); // Its end says more than EPIPE.
  child.stderr?.on('data', (chunk: Buffer) => {
    if (stderr.length < keptStderrBytes) stderr += chunk.toString().slice(0, keptStderrBytes);
  });
  const ended = new Promise<string>((resolve) => {
    child.once('error', (error) => resolve(`could not be started: ${error.message}`));
    child.once('exit', (code, signal) => {
      const how = signal ? `killed by ${signal}` : `ended with ${code}`;
      resolve([reason ?? how, stderr.trim()].filter(Boolean).join(': '));
    });
  });
  const session: BrokerSession = {
    pid: child.pid,
    ended,
    send(request, onResponse) {
      handlers.set(request.id, onResponse);
      child.stdin?.write(encodeFrame(request));
    },
    kill(why) {
      reason ??= why;
      child.kill('SIGKILL');
    },
    async end() {
      reason ??= 'closed';
      child.stdin?.end();
      await ended;
    },
  };
  void ended.then((how) => {
    handlers.clear();
    answers.destroy();
    child.stdin?.destroy();
    child.stderr?.destroy();
    onEnd(session, how);
  });
  return session;
}

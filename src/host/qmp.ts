import { createConnection, type Socket } from 'node:net';
import { DeadlineError } from '../lib/deadline.ts';

/** QEMU's machine protocol refused a command. */
export class QmpError extends Error {
  readonly code = 'QMP_ERROR';
  /** `GenericError` and the like. */
  readonly errorClass: string;

  constructor(command: string, errorClass: string, description: string) {
    super(`${command}: ${errorClass}: ${description}`);
    this.name = 'QmpError';
    this.errorClass = errorClass;
  }
}

/** One conversation with a daemon over its unix socket. */
export interface Qmp {
  execute(command: string, args?: Readonly<Record<string, unknown>>): Promise<unknown>;
  close(): void;
}

const answerLimitMs = 10_000;
const maxBufferBytes = 1024 * 1024;

interface Waiting {
  readonly command: string;
  resolve(value: unknown): void;
  reject(error: Error): void;
}

/** Connects and leaves negotiation mode. Rejects where nothing listens. */
export async function connectQmp(path: string, signal: AbortSignal): Promise<Qmp> {
  signal.throwIfAborted();
  const socket = createConnection({ path });
  const waiting = new Map<number, Waiting>();
  let nextId = 1;
  let buffer = '';
  const fail = (error: Error) => {
    for (const entry of waiting.values()) entry.reject(error);
    waiting.clear();
    socket.destroy();
  };
  const greeted = new Promise<void>((resolve, reject) => {
    waiting.set(0, { command: 'greeting', resolve: () => resolve(), reject });
  });
  socket.on('data', (chunk) => {
    buffer += chunk.toString();
    if (buffer.length > maxBufferBytes) return fail(new Error('the daemon answers without end'));
    for (let end = buffer.indexOf('\n'); end >= 0; end = buffer.indexOf('\n')) {
      const line = buffer.slice(0, end).trim();
      buffer = buffer.slice(end + 1);
      if (line === '') continue;
      try {
        onMessage(line, waiting);
      } catch (cause) {
        return fail(new Error('the daemon answers no JSON', { cause }));
      }
    }
  });
  socket.on('error', fail);
  const onAbort = () => fail(signal.reason as Error);
  signal.addEventListener('abort', onAbort, { once: true });
  socket.on('close', () => {
    signal.removeEventListener('abort', onAbort);
    fail(new Error('the daemon closed its socket'));
  });

  const execute = (command: string, args?: Readonly<Record<string, unknown>>) =>
    new Promise<unknown>((resolve, reject) => {
      const id = nextId++;
      const timer = setTimeout(() => fail(new DeadlineError(`qmp ${command}`, answerLimitMs)), answerLimitMs);
      const done = (act: () => void) => {
        clearTimeout(timer);
        act();
      };
      waiting.set(id, {
        command,
        resolve: (value) => done(() => resolve(value)),
        reject: (error) => done(() => reject(error)),
      });
      send(socket, { execute: command, id, ...(args ? { arguments: args } : {}) });
    });
  await greeted;
  await execute('qmp_capabilities');
  return { execute, close: () => socket.destroy() };
}

const send = (socket: Socket, message: unknown) => void socket.write(`${JSON.stringify(message)}\n`);

interface QmpMessage {
  readonly QMP?: unknown;
  readonly id?: number;
  readonly return?: unknown;
  readonly error?: { readonly class: string; readonly desc: string };
}

function onMessage(line: string, waiting: Map<number, Waiting>): void {
  const message = JSON.parse(line) as QmpMessage;
  const id = message.QMP === undefined ? message.id : 0;
  const entry = id === undefined ? undefined : waiting.get(id); // Events carry no id; nothing here waits for one.
  if (id === undefined || !entry) return;
  waiting.delete(id);
  if (message.error) entry.reject(new QmpError(entry.command, message.error.class, message.error.desc));
  else entry.resolve(message.return);
}

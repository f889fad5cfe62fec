import { chmod, rm } from 'node:fs/promises';
import { createServer, request, type Server } from 'node:http';
import type { UnitState } from './unit.ts';

export type { UnitState } from './unit.ts';

export interface SupervisorStatus {
  readonly pid: number;
  readonly release: string;
  readonly units: readonly UnitState[];
  /** True from a stop's begin on. */
  readonly stopping: boolean;
}

export interface ControlHandlers {
  status(): SupervisorStatus;
  /** `down` ends everything; `handover` ends only the supervisor, for the next one to adopt the rest. */
  stop(mode: StopMode): void;
}

export type StopMode = 'down' | 'handover';

/** The supervisor's unix socket, for root on this machine only. */
export async function serveControl(path: string, handlers: ControlHandlers): Promise<Server> {
  const server = createServer((message, answer) => {
    const send = (code: number, body: unknown) => {
      answer.writeHead(code, { 'content-type': 'application/json' });
      answer.end(JSON.stringify(body));
    };
    if (message.method === 'GET' && message.url === '/status') return send(200, handlers.status());
    const mode = /^\/stop\/(down|handover)$/.exec(message.url ?? '')?.[1] as StopMode | undefined;
    if (message.method === 'POST' && mode) {
      send(202, {});
      return handlers.stop(mode);
    }
    return send(404, { error: `no ${message.method} ${message.url}` });
  });
  await rm(path, { force: true }); // Left by a supervisor that was killed: only one runs at a time.
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(path, resolve);
  });
  await chmod(path, 0o600);
  return server;
}

/** Asks a running supervisor. Undefined where none answers. */
export function askSupervisor(
  path: string,
  method: 'GET' | 'POST',
  url: string,
  timeoutMs = 5000,
): Promise<unknown> {
  return new Promise((resolve) => {
    const call = request({ socketPath: path, method, path: url, timeout: timeoutMs }, (answer) => {
      const parts: Buffer[] = [];
      answer.on('data', (part: Buffer) => parts.push(part));
      answer.on('end', () => resolve(JSON.parse(Buffer.concat(parts).toString())));
    });
    call.on('error', () => resolve(undefined));
    call.on('timeout', () => call.destroy());
    call.end();
  });
}

import { STATUS_CODES, type IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { isPodStream, joinStreams, openPodStream } from '../subresource/pod-stream.ts';
import type { NodeProxy } from '../subresource/node-proxy.ts';
import { badRequest, internalError, isApiError, pageNotFound, statusOf } from '../status.ts';
import { kindOf, type HandlerDeps } from './handler.ts';
import { resourceRoute, verbOf } from './route.ts';

const maxStreams = 200;

function headLines(
  status: number,
  headers: Readonly<Record<string, string | readonly string[] | undefined>>,
) {
  const lines = Object.entries(headers).flatMap(([name, value]) =>
    value === undefined ? [] : [value].flat().map((one) => `${name}: ${one}`),
  );
  return [`HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}`, ...lines, '', ''].join('\r\n');
}

function refuse(socket: Duplex, error: unknown): void {
  const refused = isApiError(error) ? error : internalError((error as Error).message, error);
  const body = JSON.stringify(statusOf(refused));
  const headers = {
    'content-type': 'application/json',
    'content-length': String(Buffer.byteLength(body)),
    connection: 'close',
  };
  socket.end(headLines(refused.code, headers) + body);
}

/** Serves requests that ask for another protocol: exec, attach and port-forward, tunnelled to the node. */
export function upgradeHandler(deps: HandlerDeps, proxy: NodeProxy) {
  let streams = 0;

  async function serve(
    req: IncomingMessage,
    socket: Duplex,
    head: Buffer,
    signal: AbortSignal,
  ): Promise<void> {
    const url = new URL(req.url ?? '/', 'http://api');
    const route = resourceRoute(url.pathname);
    if (!route) throw pageNotFound();
    const verb = verbOf(req.method ?? 'GET', route, url.searchParams);
    const user = await deps.access.authenticate(req, signal);
    await deps.access.authorize(user, { route, verb, query: url.searchParams }, signal);
    const kind = await kindOf(deps.registry, route, signal);
    const caller = { user, signal, warn: () => undefined };
    const exchange = { deps: deps.registry, kind, route, verb, query: url.searchParams, req, caller };
    if (!isPodStream(exchange)) throw badRequest('this path has no other protocol to change to');
    const answer = await openPodStream(proxy, exchange);
    if (answer.kind === 'response') {
      socket.write(headLines(answer.status, { ...answer.headers, connection: 'close' }));
      answer.body.pipe(socket);
      return;
    }
    if (signal.aborted) return void answer.socket.destroy();
    socket.write(headLines(101, answer.headers));
    if (answer.head.length > 0) socket.write(answer.head);
    if (head.length > 0) answer.socket.write(head);
    await joinStreams(socket, answer.socket);
  }

  return async (req: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> => {
    const own = new AbortController();
    socket.on('error', () => socket.destroy());
    socket.once('close', () => own.abort(new Error('the client went away')));
    if (streams >= maxStreams) return refuse(socket, badRequest('too many open streams'));
    streams++;
    try {
      await serve(req, socket, head, own.signal);
    } catch (error) {
      if (!socket.destroyed) refuse(socket, error);
    } finally {
      streams--;
    }
  };
}

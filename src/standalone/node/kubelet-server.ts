import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer, type Server } from 'node:https';
import type { Duplex } from 'node:stream';
import type { TLSSocket } from 'node:tls';
import type { Pod } from 'kubernetes-types/core/v1.js';
import type { Clock } from '../../lib/clock.ts';
import type { Logger } from '../../lib/log.ts';
import { newestContainer, type ObservedContainer, type ObservedPod } from './observed.ts';
import { readLog, type LogOptions } from './log-reader.ts';
import { specOf } from './pod-effects.ts';
import type { ContainerRuntime } from './runtime.ts';
import { nodeSummary } from './stats-summary.ts';
import { tunnelUpgrade } from './stream-tunnel.ts';

export interface KubeletServerDeps {
  readonly tls: { readonly cert: string; readonly key: string; readonly clientCa: string };
  readonly listen: { readonly host: string; readonly port: number };
  readonly nodeName: string;
  readonly runtime: ContainerRuntime;
  readonly clock: Clock;
  readonly log: Logger;
  pods(): readonly Pod[];
  observed(uid: string): ObservedPod | undefined;
}

/** The only one who may call: the API server, by the certificate it shows to nodes. */
const callerName = 'kube-apiserver-kubelet-client';
const callMs = 30_000;

/** A request that is refused with this status and text. */
class RefusedError extends Error {
  readonly code = 'REFUSED';
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.name = 'RefusedError';
    this.status = status;
  }
}

/** The kubelet's HTTPS API: logs, exec, attach, port-forward, stats. Resolves once it listens. */
export async function startKubeletServer(
  deps: KubeletServerDeps,
): Promise<{ readonly port: number; close(): Promise<void> }> {
  const server = createServer({
    cert: await readFile(deps.tls.cert),
    key: await readFile(deps.tls.key),
    ca: await readFile(deps.tls.clientCa),
    requestCert: true,
    rejectUnauthorized: true,
    minVersion: 'TLSv1.2',
  });
  server.on('request', (request: IncomingMessage, response: ServerResponse) => {
    answer(deps, request, response).catch((error: unknown) => refuse(deps, response, error));
  });
  server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    socket.on('error', () => undefined);
    upgrade(deps, request, socket, head).catch((error: unknown) => {
      const status = error instanceof RefusedError ? error.status : 500;
      const text = (error as Error).message;
      socket.end(
        `HTTP/1.1 ${status} Refused\r\nContent-Type: text/plain\r\nContent-Length: ${Buffer.byteLength(text)}\r\nConnection: close\r\n\r\n${text}`,
      );
    });
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(deps.listen.port, deps.listen.host, () => resolve());
  });
  const address = server.address();
  return {
    port: typeof address === 'object' && address ? address.port : deps.listen.port,
    close: () => closeServer(server),
  };
}

async function closeServer(server: Server): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  server.closeAllConnections();
  await closed;
}

function refuse({ log }: KubeletServerDeps, response: ServerResponse, error: unknown): void {
  if (response.headersSent) return void response.destroy();
  const status = error instanceof RefusedError ? error.status : 500;
  if (status === 500) log.warn({ err: error }, 'kubelet request failed');
  response.writeHead(status, { 'content-type': 'text/plain' }).end(`${(error as Error).message}\n`);
}

function requireCaller(request: IncomingMessage): void {
  const subject = (request.socket as TLSSocket).getPeerCertificate().subject as { CN?: string } | undefined;
  if (subject?.CN !== callerName) throw new RefusedError(403, 'only the API server may call this node');
}

async function answer(
  deps: KubeletServerDeps,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  requireCaller(request);
  const url = new URL(request.url ?? '/', 'https://node');
  const [verb, ...rest] = url.pathname.split('/').slice(1).map(decodeURIComponent);
  if (request.method !== 'GET') throw new RefusedError(405, 'this needs an upgrade to a stream');
  switch (verb) {
    case 'healthz':
      return void response.end('ok');
    case 'pods':
    case 'runningpods':
      return sendJson(response, { kind: 'PodList', apiVersion: 'v1', metadata: {}, items: deps.pods() });
    case 'stats':
      if (rest[0] !== 'summary') break;
      return sendJson(response, await nodeSummary(deps, AbortSignal.timeout(callMs)));
    case 'containerLogs':
      return await sendLog(deps, rest, url.searchParams, request, response);
    default:
  }
  throw new RefusedError(404, `no such page: ${url.pathname}`);
}

function sendJson(response: ServerResponse, body: unknown): void {
  response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(body));
}

interface Found {
  readonly pod: Pod;
  readonly runtime: ObservedPod;
  readonly container: ObservedContainer;
}

function findContainer(deps: KubeletServerDeps, path: readonly string[], previous = false): Found {
  const [namespace, podName] = path;
  // Both /NS/POD/CONTAINER and /NS/POD/UID/CONTAINER are in use.
  const name = path.at(-1) ?? '';
  const pod = findPod(deps, namespace, podName);
  if (!specOf(pod, name)) throw new RefusedError(404, `container "${name}" not found in pod "${podName}"`);
  const runtime = deps.observed(pod.metadata?.uid ?? '');
  const newest = runtime && newestContainer(runtime, name);
  if (!runtime || !newest)
    throw new RefusedError(400, `container "${name}" in pod "${podName}" is waiting to start`);
  if (!previous) return { pod, runtime, container: newest };
  const before = runtime.containers.find((one) => one.name === name && one.id !== newest.id);
  if (!before)
    throw new RefusedError(400, `previous terminated container "${name}" in pod "${podName}" not found`);
  return { pod, runtime, container: before };
}

function findPod(deps: KubeletServerDeps, namespace: string | undefined, name: string | undefined): Pod {
  const pod = deps.pods().find((one) => one.metadata?.namespace === namespace && one.metadata?.name === name);
  if (!pod) throw new RefusedError(404, `pod "${name}" not found`);
  return pod;
}

export function logOptions(query: URLSearchParams, nowMs: number): LogOptions {
  const number = (key: string): number | undefined => {
    const text = query.get(key);
    if (text === null || text === '') return undefined;
    const value = Number(text);
    if (!Number.isInteger(value) || value < 0)
      throw new RefusedError(400, `${key}: must be a whole number of 0 or more`);
    return value;
  };
  const flag = (key: string) => query.get(key) === 'true' || query.get(key) === '1';
  const seconds = number('sinceSeconds');
  const time = query.get('sinceTime');
  const sinceTimeMs = time ? Date.parse(time) : undefined;
  if (sinceTimeMs !== undefined && Number.isNaN(sinceTimeMs))
    throw new RefusedError(400, 'sinceTime: must be a time in RFC 3339');
  return {
    follow: flag('follow'),
    timestamps: flag('timestamps'),
    tailLines: number('tailLines'),
    limitBytes: number('limitBytes'),
    sinceMs: seconds === undefined ? sinceTimeMs : nowMs - seconds * 1000,
  };
}

async function sendLog(
  deps: KubeletServerDeps,
  path: readonly string[],
  query: URLSearchParams,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const { pod, container } = findContainer(deps, path, query.get('previous') === 'true');
  const options = logOptions(query, deps.clock.now());
  const gone = new AbortController();
  response.once('close', () => gone.abort());
  const isLive = () => {
    const seen = deps.observed(pod.metadata?.uid ?? '')?.containers.find((one) => one.id === container.id);
    return seen?.state === 'running' || seen?.state === 'created';
  };
  response.writeHead(200, { 'content-type': 'text/plain', 'transfer-encoding': 'chunked' });
  response.flushHeaders();
  request.socket.setNoDelay(true);
  for await (const text of readLog(container.logPath, options, {
    clock: deps.clock,
    signal: gone.signal,
    isLive,
  })) {
    if (gone.signal.aborted) return;
    // The loop ends by itself where the reader has gone.
    if (!response.write(text)) await once(response, 'drain', { signal: gone.signal }).catch(() => undefined);
  }
  response.end();
}

async function upgrade(
  deps: KubeletServerDeps,
  request: IncomingMessage,
  socket: Duplex,
  head: Buffer,
): Promise<void> {
  requireCaller(request);
  const url = new URL(request.url ?? '/', 'https://node');
  const [verb, ...path] = url.pathname.split('/').slice(1).map(decodeURIComponent);
  const { runtime } = deps.runtime;
  const options = { signal: AbortSignal.timeout(callMs), timeoutMs: callMs };
  // kubelet's own names and the API's are both in use.
  const flag = (...keys: string[]) =>
    keys.some((key) => ['1', 'true'].includes(url.searchParams.get(key) ?? ''));
  const streams = {
    stdin: flag('input', 'stdin'),
    stdout: flag('output', 'stdout'),
    tty: flag('tty'),
    stderr: flag('error', 'stderr') && !flag('tty'),
  };
  let target: string;
  if (verb === 'exec') {
    const { container } = findContainer(deps, path);
    const cmd = url.searchParams.getAll('command');
    target = (await runtime.exec({ containerId: container.id, cmd, ...streams }, options)).url;
  } else if (verb === 'attach') {
    const { pod, container } = findContainer(deps, path);
    const tty = specOf(pod, container.name)?.tty ?? false;
    const wanted = { ...streams, tty, stderr: streams.stderr && !tty };
    target = (await runtime.attach({ containerId: container.id, ...wanted }, options)).url;
  } else if (verb === 'portForward') {
    const pod = findPod(deps, path[0], path[1]);
    const sandbox = deps.observed(pod.metadata?.uid ?? '')?.sandboxes.find((one) => one.ready);
    if (!sandbox) throw new RefusedError(400, `pod "${path[1]}" is not running`);
    const port = url.searchParams
      .getAll('port')
      .flatMap((list) => list.split(','))
      .map(Number);
    if (port.some((one) => !Number.isInteger(one))) throw new RefusedError(400, 'port: must be a number');
    target = (await runtime.portForward({ podSandboxId: sandbox.id, port }, options)).url;
  } else throw new RefusedError(404, `no such stream: ${url.pathname}`);
  tunnelUpgrade(request, socket, head, new URL(target));
}

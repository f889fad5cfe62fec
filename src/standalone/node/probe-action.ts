import { request as httpRequest } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { connect } from 'node:net';
import { Client, credentials, Metadata } from '@grpc/grpc-js';
import type { Container, ExecAction, HTTPGetAction, TCPSocketAction } from 'kubernetes-types/core/v1.js';
import { kubernetesVersion } from '../../api/kubernetes-version.ts';
import { isDeadlineError, withDeadline } from '../../lib/deadline.ts';
import { Code, isRpcError } from '../../lib/grpc.ts';
import type { RuntimeCalls } from './runtime.ts';

/** What a probe or a lifecycle hook does; exactly one is set. */
export interface HandlerAction {
  readonly exec?: ExecAction;
  readonly httpGet?: HTTPGetAction;
  readonly tcpSocket?: TCPSocketAction;
  readonly grpc?: { readonly port: number; readonly service?: string };
}

export interface ActionTarget {
  readonly runtime: RuntimeCalls;
  readonly containerId: string;
  readonly container: Container;
  /** Where the pod listens. */
  readonly podIp: string;
}

export interface ActionResult {
  readonly ok: boolean;
  readonly output: string;
}

const maxOutput = 1024;
const maxBody = 10 * 1024;

/** Runs one handler once. A failure of any sort is a result with what was seen, never a throw. */
export async function runAction(
  action: HandlerAction,
  target: ActionTarget,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<ActionResult> {
  try {
    const result = await withDeadline('the probe', timeoutMs, signal, (own) =>
      dispatch(action, target, timeoutMs, own),
    );
    return { ...result, output: result.output.slice(0, maxOutput) };
  } catch (error) {
    signal.throwIfAborted();
    const output = isDeadlineError(error) ? `timed out after ${timeoutMs / 1000}s` : (error as Error).message;
    return { ok: false, output: output.slice(0, maxOutput) };
  }
}

async function dispatch(
  action: HandlerAction,
  target: ActionTarget,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<ActionResult> {
  if (action.exec) return await execAction(action.exec.command ?? [], target, timeoutMs, signal);
  if (action.httpGet) return await httpAction(action.httpGet, target, signal);
  if (action.tcpSocket) {
    const port = portOf(action.tcpSocket.port, target.container);
    return await tcpAction(action.tcpSocket.host || target.podIp, port, signal);
  }
  if (action.grpc)
    return await grpcAction(target.podIp, action.grpc.port, action.grpc.service ?? '', timeoutMs, signal);
  return { ok: false, output: 'the handler names no action' };
}

async function execAction(
  command: readonly string[],
  { runtime, containerId }: ActionTarget,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<ActionResult> {
  try {
    const answer = await runtime.execSync(
      { containerId, cmd: [...command], timeout: BigInt(Math.ceil(timeoutMs / 1000)) },
      { signal, timeoutMs: timeoutMs + 5_000 },
    );
    const output = Buffer.concat([answer.stdout, answer.stderr]).toString();
    return {
      ok: answer.exitCode === 0,
      output: output === '' ? `command ended with ${answer.exitCode}` : output,
    };
  } catch (error) {
    if (isRpcError(error, Code.DEADLINE_EXCEEDED) || isDeadlineError(error))
      return { ok: false, output: `command timed out after ${timeoutMs / 1000}s` };
    throw error;
  }
}

async function httpAction(
  action: HTTPGetAction,
  target: ActionTarget,
  signal: AbortSignal,
): Promise<ActionResult> {
  const host = action.host || target.podIp;
  const port = portOf(action.port, target.container);
  const secure = action.scheme === 'HTTPS';
  const path = action.path || '/';
  const headers: Record<string, string> = {
    'User-Agent': `kube-probe/${kubernetesVersion.major}.${kubernetesVersion.minor}`,
    Accept: '*/*',
    Connection: 'close',
  };
  for (const { name, value } of action.httpHeaders ?? []) headers[name] = value;
  const options = {
    host,
    port,
    path: path.startsWith('/') ? path : `/${path}`,
    headers,
    signal,
    agent: false,
  };
  const url = `${secure ? 'https' : 'http'}://${host}:${port}${options.path}`;
  return await new Promise((resolve, reject) => {
    // A probe asks whether it answers, not who it is: certificates of pods are their own affair.
    const call = secure ? httpsRequest({ ...options, rejectUnauthorized: false }) : httpRequest(options);
    call.once('error', (error) => reject(new Error(`Get "${url}": ${error.message}`, { cause: error })));
    call.once('response', (response) => {
      const status = response.statusCode ?? 0;
      const ok = status >= 200 && status < 400;
      let seen = 0;
      response.on('data', (chunk: Buffer) => {
        seen += chunk.length;
        if (seen > maxBody) response.destroy();
      });
      response.once('close', () =>
        resolve({ ok, output: ok ? `HTTP ${status}` : `HTTP probe failed with statuscode: ${status}` }),
      );
      response.on('error', () => undefined); // The status line has been seen: the rest is not needed.
    });
    call.end();
  });
}

async function tcpAction(host: string, port: number, signal: AbortSignal): Promise<ActionResult> {
  return await new Promise((resolve, reject) => {
    const socket = connect({ host, port });
    const onAbort = () => socket.destroy(signal.reason as Error);
    signal.addEventListener('abort', onAbort, { once: true });
    socket.once('connect', () => {
      socket.destroy();
      resolve({ ok: true, output: '' });
    });
    socket.once('error', (error) =>
      reject(new Error(`dial tcp ${host}:${port}: ${error.message}`, { cause: error })),
    );
    socket.once('close', () => signal.removeEventListener('abort', onAbort));
  });
}

const serving = 1;

/** grpc.health.v1.Health/Check; its two messages have one field each. */
async function grpcAction(
  host: string,
  port: number,
  service: string,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<ActionResult> {
  const client = new Client(`${host}:${port}`, credentials.createInsecure());
  try {
    const status = await new Promise<number>((resolve, reject) => {
      const call = client.makeUnaryRequest(
        '/grpc.health.v1.Health/Check',
        (name: string) => {
          const text = Buffer.from(name).subarray(0, 127);
          return name === '' ? Buffer.alloc(0) : Buffer.concat([Buffer.from([0x0a, text.length]), text]);
        },
        (bytes: Buffer) => (bytes[0] === 0x08 ? (bytes[1] ?? 0) : 0),
        service,
        new Metadata(),
        { deadline: Date.now() + timeoutMs },
        (error, answer) => (error ? reject(error) : resolve(answer ?? 0)),
      );
      signal.addEventListener('abort', () => call.cancel(), { once: true });
    });
    return status === serving
      ? { ok: true, output: '' }
      : { ok: false, output: `service unhealthy (responded with status ${status})` };
  } finally {
    client.close();
  }
}

/** A port by number, or by the name that the container gives it. */
function portOf(port: number | string, container: Container): number {
  const number = typeof port === 'number' ? port : Number(port);
  if (Number.isInteger(number) && number > 0 && number < 65_536) return number;
  const named = container.ports?.find((one) => one.name === port);
  if (!named) throw new Error(`couldn't find port: ${String(port)}`);
  return named.containerPort;
}

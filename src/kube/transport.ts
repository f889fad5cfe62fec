import { createSecureContext } from 'node:tls';
import { errors, Pool, type Dispatcher } from 'undici';
import { KubeError, kubeErrorOf } from './errors.ts';
import type { KubeConfig, KubeTls } from './kubeconfig.ts';

const maxAnswerBytes = 64 * 1024 * 1024;
const maxErrorBytes = 64 * 1024;
const callConnections = 32;
const tokenAgeMs = 60_000;

export interface HttpCall {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  readonly path: string;
  readonly body?: unknown;
  readonly contentType?: string | undefined;
  readonly signal: AbortSignal;
}

/** One API's connections. Refusals and broken connections are KubeErrors; an abort is the signal's reason. */
export interface Transport {
  /** The decoded JSON of an answer below 400. */
  call(call: HttpCall): Promise<unknown>;
  /** The body of a long answer, piece by piece, on a connection of its own. */
  stream(path: string, signal: AbortSignal): Promise<AsyncIterable<Uint8Array>>;
  close(): Promise<void>;
}

const unsentCodes = new Set(['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'UND_ERR_CONNECT_TIMEOUT']);

/** Whether the call surely never reached the server, so that even a create may be sent again. */
export function wasNeverSent(error: unknown): boolean {
  if (!(error instanceof KubeError) || error.status !== 0) return false;
  return unsentCodes.has(String((error.cause as { code?: unknown } | undefined)?.code));
}

export function createTransport(config: KubeConfig, now: () => number): Transport {
  const url = new URL(config.url);
  const prefix = url.pathname.replace(/\/+$/, '');
  // Without TLS there is nothing to prepare; system authorities alone take tens of milliseconds.
  const connect = url.protocol === 'https:' ? connectOptions(config.tls ?? {}) : { timeout: 10_000 };
  const keepAlive = { keepAliveTimeout: 30_000, keepAliveMaxTimeout: 120_000 };
  const calls = new Pool(url.origin, {
    connections: callConnections,
    maxResponseSize: maxAnswerBytes,
    connect,
    ...keepAlive,
  });
  // Watches live for minutes, so they have connections of their own and never starve the calls.
  const watches = new Pool(url.origin, {
    connections: null,
    bodyTimeout: 0,
    headersTimeout: 60_000,
    connect,
    ...keepAlive,
  });

  const token = bearerToken(config, now);

  const dispatch = async (pool: Pool, call: HttpCall): Promise<Dispatcher.ResponseData> => {
    const headers: Record<string, string> = { accept: 'application/json', ...(await token.header()) };
    if (call.body !== undefined) headers['content-type'] = call.contentType ?? 'application/json';
    const answer = await pool.request({
      method: call.method,
      path: `${prefix}${call.path}`,
      headers,
      body: call.body === undefined ? null : JSON.stringify(call.body),
      signal: call.signal,
    });
    if (answer.statusCode < 400) return answer;
    // A token that was replaced behind our back: the next call reads it anew.
    if (answer.statusCode === 401) token.forget();
    const retryAfter = answer.headers['retry-after'];
    throw kubeErrorOf(
      answer.statusCode,
      decode(await readBounded(answer.body, maxErrorBytes)),
      typeof retryAfter === 'string' ? retryAfter : undefined,
    );
  };

  return {
    async call(call) {
      call.signal.throwIfAborted();
      try {
        const answer = await dispatch(calls, call);
        const text = await answer.body.text();
        if (text === '') return undefined;
        // Logs and health are plain text; all else must be JSON, or it is no answer of the API's.
        return isPlainText(answer.headers['content-type']) ? text : JSON.parse(text);
      } catch (error) {
        throw translate(error, call);
      }
    },
    async stream(path, signal) {
      signal.throwIfAborted();
      const call: HttpCall = { method: 'GET', path, signal };
      try {
        return chunksOf((await dispatch(watches, call)).body, call);
      } catch (error) {
        throw translate(error, call);
      }
    },
    async close() {
      await Promise.all([calls.destroy(), watches.destroy()]);
    },
  };
}

const isPlainText = (type: unknown) => typeof type === 'string' && type.startsWith('text/plain');

/** The token's header, from a token that is read anew once a minute. */
function bearerToken(config: KubeConfig, now: () => number) {
  let known: { text: string; readAtMs: number } | undefined;
  return {
    async header(): Promise<Record<string, string>> {
      if (!config.token) return {};
      if (!known || now() - known.readAtMs > tokenAgeMs) {
        known = { text: await config.token(), readAtMs: now() };
      }
      return { authorization: `Bearer ${known.text}` };
    },
    forget() {
      known = undefined;
    },
  };
}

/** One TLS context for all connections: to read keys and authorities again for each costs most of a connect. */
const connectOptions = ({ ca, cert, key, serverName, insecureSkipVerify }: KubeTls) => ({
  timeout: 10_000,
  secureContext: createSecureContext({
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key }),
  }),
  ...(serverName === undefined ? {} : { servername: serverName }),
  ...(insecureSkipVerify ? { rejectUnauthorized: false } : {}),
});

async function* chunksOf(body: AsyncIterable<Uint8Array>, call: HttpCall): AsyncGenerator<Uint8Array> {
  try {
    yield* body;
  } catch (error) {
    throw translate(error, call);
  }
}

function translate(error: unknown, call: HttpCall): unknown {
  if (call.signal.aborted) return call.signal.reason;
  if (error instanceof KubeError) return error;
  if (error instanceof SyntaxError) {
    return unreachable(`${call.method} ${call.path}: the answer is no JSON`, 'BadAnswer', error);
  }
  if (error instanceof errors.ResponseExceededMaxSizeError) {
    return unreachable(`${call.method} ${call.path}: the answer is too long`, 'AnswerTooLong', error);
  }
  const what = error instanceof Error ? error.message || error.name : String(error);
  return unreachable(`${call.method} ${call.path}: ${what}`, 'Unreachable', error);
}

const unreachable = (message: string, reason: string, cause: unknown): KubeError =>
  new KubeError({ status: 0, reason, message, cause });

function decode(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

async function readBounded(body: AsyncIterable<Uint8Array>, maxBytes: number): Promise<string> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of body) {
    bytes += chunk.length;
    if (bytes > maxBytes) break;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}

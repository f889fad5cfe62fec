import { fromBinary, toBinary, create, type DescService } from '@bufbuild/protobuf';
import type { GenService, GenServiceMethods } from '@bufbuild/protobuf/codegenv2';
import { connect, constants, type ClientHttp2Session, type IncomingHttpHeaders } from 'node:http2';
import type * as grpc from '@grpc/grpc-js';
import { DeadlineError } from './deadline.ts';
import { Code, RpcError, type UnaryCallOptions, type UnaryClient } from './grpc.ts';

export interface SessionOptions {
  /** `https://127.0.0.1:2379`, or `http://` for one without TLS. */
  readonly url: string;
  /** PEM texts; mutual TLS. */
  readonly tls?: {
    readonly ca: string;
    readonly cert: string;
    readonly key: string;
    /** The name in the server's certificate, where it is not the host of the URL. */
    readonly serverName?: string | undefined;
  };
}

/** One HTTP/2 session to one server, opened by the first call and again by the first one after it broke. */
export interface GrpcSession {
  /** A unary call of one message. Rejects with RpcError, DeadlineError, or the signal's reason. */
  call(path: string, message: Uint8Array, options: Required<UnaryCallOptions>): Promise<Uint8Array>;
  /** Ends the session and every call on it. */
  close(): void;
}

const tcpKeepAliveMs = 10_000;
const prefixBytes = 5;
const windowBytes = 4 * 1024 * 1024;

/**
 * gRPC's unary calls on Node's own HTTP/2, without what a general client has for many servers, retries and
 * interceptors: at thousands of calls a second that is most of what a call costs. There are no retries here: a
 * call that broke is UNAVAILABLE, and its caller knows whether it may be sent again.
 */
export function grpcSession({ url, tls }: SessionOptions): GrpcSession {
  let session: ClientHttp2Session | undefined;

  function opened(): ClientHttp2Session {
    if (session && !session.closed && !session.destroyed) return session;
    const made = connect(url, {
      ...(tls && { ca: tls.ca, cert: tls.cert, key: tls.key }),
      ...(tls?.serverName === undefined ? {} : { servername: tls.serverName }),
      // A page of objects in one go: the default of 64 KiB would stop and ask for each piece of it.
      settings: { initialWindowSize: windowBytes, enablePush: false },
      // Bounded by the callers; Node's own limit would break calls of others where large answers meet.
      maxSessionMemory: Number.MAX_SAFE_INTEGER,
    });
    // Every call that is on it hears of the error by itself.
    made.on('error', () => undefined);
    // What is under way still gets its answer; what comes next goes over a new session.
    made.once('goaway', () => made.close());
    made.once('connect', (_session, socket) => {
      socket.setKeepAlive(true, tcpKeepAliveMs);
      made.setLocalWindowSize(windowBytes);
    });
    session = made;
    return made;
  }

  return {
    call: (path, message, options) => callOn(opened, path, message, options),
    close() {
      session?.destroy();
      session = undefined;
    },
  };
}

function callOn(
  opened: () => ClientHttp2Session,
  path: string,
  message: Uint8Array,
  { signal, timeoutMs }: Required<UnaryCallOptions>,
): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(signal.reason as Error);
    let stream: ReturnType<ClientHttp2Session['request']>;
    try {
      stream = opened().request({
        ':method': 'POST',
        ':path': path,
        'content-type': 'application/grpc',
        te: 'trailers',
      });
    } catch (error) {
      return reject(broken(error));
    }
    const parts: Buffer[] = [];
    let said: IncomingHttpHeaders | undefined;
    let failure: unknown;
    const giveUp = (reason: unknown) => {
      failure = reason;
      stream.close(constants.NGHTTP2_CANCEL);
    };
    const onAbort = () => giveUp(signal.reason);
    const limit = setTimeout(() => giveUp(new DeadlineError(path, timeoutMs)), timeoutMs);
    signal.addEventListener('abort', onAbort, { once: true });
    // A refusal may come without a body, and then its status is in the headers.
    stream.on('response', (headers) => (said = headers));
    stream.on('trailers', (trailers) => (said = trailers));
    stream.on('data', (part: Buffer) => parts.push(part));
    stream.on('error', (error) => (failure ??= broken(error)));
    stream.on('close', () => {
      clearTimeout(limit);
      signal.removeEventListener('abort', onAbort);
      failure ??= refusalOf(said);
      if (failure !== undefined) return reject(failure as Error);
      const answer = messageOf(Buffer.concat(parts));
      if (answer) resolve(answer);
      else reject(new RpcError(Code.INTERNAL, `${path}: the answer is not one whole message`));
    });
    stream.end(framed(message));
  });
}

/** A byte for no compression, the length in four, the message. */
function framed(message: Uint8Array): Buffer {
  const frame = Buffer.allocUnsafe(prefixBytes + message.length);
  frame[0] = 0;
  frame.writeUInt32BE(message.length, 1);
  frame.set(message, prefixBytes);
  return frame;
}

function messageOf(body: Buffer): Uint8Array | undefined {
  if (body.length < prefixBytes || body[0] !== 0) return undefined;
  return body.readUInt32BE(1) === body.length - prefixBytes ? body.subarray(prefixBytes) : undefined;
}

const broken = (cause: unknown): RpcError =>
  new RpcError(Code.UNAVAILABLE, cause instanceof Error ? cause.message : String(cause), { cause });

/** What the server said against the call; undefined where it served it. */
function refusalOf(said: IncomingHttpHeaders | undefined): RpcError | undefined {
  const status = said?.['grpc-status'];
  if (status === undefined)
    return new RpcError(Code.UNAVAILABLE, 'the connection ended before the answer did');
  const code: grpc.status = Number(status);
  if (code === Code.OK) return undefined;
  return new RpcError(code in Code ? code : Code.UNKNOWN, textOf(String(said?.['grpc-message'] ?? '')));
}

/** Messages are percent-encoded UTF-8. */
function textOf(encoded: string): string {
  try {
    return decodeURIComponent(encoded);
  } catch {
    return encoded;
  }
}

/** A service's unary methods over a session, as `unaryClient` has them over a channel. */
export function sessionClient<M extends GenServiceMethods>(
  session: GrpcSession,
  service: GenService<M>,
): UnaryClient<M> {
  const methods: Record<string, unknown> = {};
  for (const method of (service as DescService).methods) {
    if (method.methodKind !== 'unary') continue;
    const path = `/${method.parent.typeName}/${method.name}`;
    methods[method.localName] = async (
      request: Record<string, unknown>,
      { signal, timeoutMs = 30_000 }: UnaryCallOptions,
    ) => {
      const message = toBinary(method.input, create(method.input, request));
      return fromBinary(method.output, await session.call(path, message, { signal, timeoutMs }));
    };
  }
  return methods as UnaryClient<M>;
}

import {
  create,
  fromBinary,
  toBinary,
  type DescMethod,
  type DescService,
  type MessageShape,
  type MessageInitShape,
} from '@bufbuild/protobuf';
import type { GenService, GenServiceMethods } from '@bufbuild/protobuf/codegenv2';
import * as grpc from '@grpc/grpc-js';
import { DeadlineError } from './deadline.ts';

/** A handled failure that a gRPC caller sees with its code. */
export class RpcError extends Error {
  readonly code: grpc.status;

  constructor(code: grpc.status, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'RpcError';
    this.code = code;
  }
}

export const Code = grpc.status;
export const isRpcError = (error: unknown, code?: grpc.status): error is RpcError =>
  error instanceof RpcError && (code === undefined || error.code === code);

export interface RpcContext {
  /** Aborts when the caller goes away or its deadline is over. */
  readonly signal: AbortSignal;
}

/** The unary methods of a service, by local name. Streams are left out. */
export type UnaryHandlers<M extends GenServiceMethods> = {
  readonly [K in keyof M as M[K]['methodKind'] extends 'unary' ? K : never]: (
    request: MessageShape<M[K]['input']>,
    context: RpcContext,
  ) => Promise<MessageInitShape<M[K]['output']>>;
};

const definitionOf = (method: DescMethod): grpc.MethodDefinition<unknown, unknown> => ({
  path: `/${method.parent.typeName}/${method.name}`,
  requestStream: method.methodKind === 'client_streaming' || method.methodKind === 'bidi_streaming',
  responseStream: method.methodKind === 'server_streaming' || method.methodKind === 'bidi_streaming',
  requestSerialize: (message) =>
    Buffer.from(toBinary(method.input, create(method.input, message as Record<string, unknown>))),
  requestDeserialize: (bytes) => fromBinary(method.input, bytes),
  responseSerialize: (message) =>
    Buffer.from(toBinary(method.output, create(method.output, message as Record<string, unknown>))),
  responseDeserialize: (bytes) => fromBinary(method.output, bytes),
});

/** Adds a service to a server. A method without a handler answers UNIMPLEMENTED. */
export function addService<M extends GenServiceMethods>(
  server: grpc.Server,
  service: GenService<M>,
  handlers: Partial<UnaryHandlers<M>>,
  onError: (method: string, error: unknown) => RpcError,
): void {
  const definitions: Record<string, grpc.MethodDefinition<unknown, unknown>> = {};
  const implementations: grpc.UntypedServiceImplementation = {};
  for (const method of (service as DescService).methods) {
    if (method.methodKind !== 'unary') continue;
    definitions[method.localName] = definitionOf(method);
    const handler = (
      handlers as Record<string, ((r: unknown, c: RpcContext) => Promise<unknown>) | undefined>
    )[method.localName];
    implementations[method.localName] = (
      call: grpc.ServerUnaryCall<unknown, unknown>,
      answer: grpc.sendUnaryData<unknown>,
    ) => {
      if (!handler)
        return answer({ code: grpc.status.UNIMPLEMENTED, details: `${method.name} is not implemented` });
      const own = new AbortController();
      call.on('cancelled', () => own.abort(new RpcError(grpc.status.CANCELLED, 'the caller went away')));
      handler(call.request, { signal: own.signal }).then(
        (response) => answer(null, response),
        (error: unknown) => {
          const refused = error instanceof RpcError ? error : onError(method.name, error);
          answer({ code: refused.code, details: refused.message });
        },
      );
    };
  }
  server.addService(definitions, implementations);
}

export interface UnaryCallOptions {
  readonly signal: AbortSignal;
  /** 30 s where not said. */
  readonly timeoutMs?: number;
}

export type UnaryClient<M extends GenServiceMethods> = {
  readonly [K in keyof M as M[K]['methodKind'] extends 'unary' ? K : never]: (
    request: MessageInitShape<M[K]['input']>,
    options: UnaryCallOptions,
  ) => Promise<MessageShape<M[K]['output']>>;
};

/** A client of a service's unary methods over an open channel. Failures are RpcErrors. */
export function unaryClient<M extends GenServiceMethods>(
  client: grpc.Client,
  service: GenService<M>,
): UnaryClient<M> {
  const methods: Record<string, unknown> = {};
  for (const method of (service as DescService).methods) {
    if (method.methodKind !== 'unary') continue;
    const definition = definitionOf(method);
    methods[method.localName] = (request: unknown, { signal, timeoutMs = 30_000 }: UnaryCallOptions) =>
      new Promise((resolve, reject) => {
        if (signal.aborted) return reject(signal.reason as Error);
        const call = client.makeUnaryRequest(
          definition.path,
          definition.requestSerialize,
          definition.responseDeserialize,
          request,
          new grpc.Metadata(),
          { deadline: Date.now() + timeoutMs },
          (error, response) => {
            signal.removeEventListener('abort', onAbort);
            if (!error) return resolve(response);
            if (signal.aborted) return reject(signal.reason as Error);
            if (error.code === grpc.status.DEADLINE_EXCEEDED)
              return reject(new DeadlineError(method.name, timeoutMs));
            reject(new RpcError(error.code, error.details, { cause: error }));
          },
        );
        const onAbort = () => call.cancel();
        signal.addEventListener('abort', onAbort, { once: true });
      });
  }
  return methods as UnaryClient<M>;
}

/** Opens the messages of one server-streaming call. */
export async function* serverStream<M extends GenServiceMethods, K extends keyof M & string>(
  client: grpc.Client,
  service: GenService<M>,
  name: K,
  request: MessageInitShape<M[K]['input']>,
  signal: AbortSignal,
): AsyncGenerator<MessageShape<M[K]['output']>> {
  const method = (service as DescService).methods.find((m) => m.localName === name);
  if (!method) throw new Error(`no method ${name}`);
  const definition = definitionOf(method);
  const call = client.makeServerStreamRequest(
    definition.path,
    definition.requestSerialize,
    definition.responseDeserialize,
    request,
  );
  const onAbort = () => call.cancel();
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    for await (const message of call) yield message as MessageShape<M[K]['output']>;
  } catch (error) {
    signal.throwIfAborted();
    throw new RpcError((error as grpc.ServiceError).code ?? grpc.status.UNKNOWN, (error as Error).message, {
      cause: error,
    });
  } finally {
    signal.removeEventListener('abort', onAbort);
    call.cancel();
  }
}

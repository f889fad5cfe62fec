import type { MessageInitShape } from '@bufbuild/protobuf';
import * as grpc from '@grpc/grpc-js';
import {
  Compare_CompareResult,
  Compare_CompareTarget,
  KV,
  RangeRequest_SortOrder,
  RangeRequest_SortTarget,
  type RequestOpSchema,
} from '../../../gen/etcd/rpc_pb.js';
import type { KeyValue } from '../../../gen/etcd/kv_pb.js';
import type { Clock } from '../../../lib/clock.ts';
import { isDeadlineError } from '../../../lib/deadline.ts';
import { grpcSession, sessionClient } from '../../../lib/grpc-session.ts';
import { Code, isRpcError } from '../../../lib/grpc.ts';
import { resumingWatch } from './etcd-watch.ts';
import {
  compactedError,
  futureRevisionError,
  maxChanges,
  StoreError,
  type CommitResult,
  type ListOptions,
  type Store,
  type StoreChange,
  type StoreEntry,
} from './store.ts';

export interface EtcdStoreOptions {
  /** `127.0.0.1:2379`. */
  readonly endpoint: string;
  /** PEM texts; mutual TLS. */
  readonly tls: { readonly ca: string; readonly cert: string; readonly key: string };
  readonly clock: Clock;
  readonly random?: () => number;
  /** Told when the watch stream broke and is being opened again. */
  readonly onBroken?: (error: unknown, retryInMs: number) => void;
}

const callTimeoutMs = 10_000;
const bytes = (text: string) => new Uint8Array(Buffer.from(text));
const text = (b: Uint8Array) => Buffer.from(b.buffer, b.byteOffset, b.length).toString();
const entryOf = (kv: KeyValue): StoreEntry => ({
  key: text(kv.key),
  value: text(kv.value),
  revision: Number(kv.modRevision),
});

/** The end of the range of all keys that start with `prefix`: its last byte plus one. */
function endOf(prefix: string): Uint8Array {
  const end = bytes(prefix);
  if (end.length === 0) return new Uint8Array([0]);
  end[end.length - 1] = (end[end.length - 1] as number) + 1;
  return end;
}

/** What an etcd failure means to the caller; `writing` tells a lost answer from a refused call. */
function storeError(error: unknown, writing: boolean): unknown {
  if (isDeadlineError(error))
    return new StoreError(writing ? 'OUTCOME_UNKNOWN' : 'UNAVAILABLE', 'etcd did not answer in time', {
      cause: error,
    });
  if (!isRpcError(error)) return error;
  if (error.message.includes('mvcc: required revision has been compacted'))
    return new StoreError('COMPACTED', error.message, { cause: error });
  if (error.message.includes('mvcc: required revision is a future revision'))
    return new StoreError('FUTURE_REVISION', error.message, { cause: error });
  if (error.message.includes('request is too large') || error.message.includes('larger than max'))
    return new StoreError('TOO_LARGE', error.message, { cause: error });
  // Its disk quota is full, or it is too busy: refused, and surely not written.
  if (error.code === Code.RESOURCE_EXHAUSTED)
    return new StoreError('UNAVAILABLE', error.message, { cause: error });
  return new StoreError(writing ? 'OUTCOME_UNKNOWN' : 'UNAVAILABLE', error.message, { cause: error });
}

function operationOf({ key, value }: StoreChange): MessageInitShape<typeof RequestOpSchema> {
  return value === undefined
    ? { request: { case: 'requestDeleteRange', value: { key: bytes(key) } } }
    : { request: { case: 'requestPut', value: { key: bytes(key), value: bytes(value) } } };
}

/** etcd's text names no revisions; ours does. */
function withRevision(error: unknown, revision: number): unknown {
  if (!(error instanceof StoreError)) return error;
  if (error.code === 'COMPACTED') return compactedError(revision, revision);
  if (error.code === 'FUTURE_REVISION') return futureRevisionError(revision, revision);
  return error;
}

/** Compare-and-swap of all keys at once; where one is not as expected, the present ones are answered. */
const transactionOf = (changes: readonly StoreChange[]) => ({
  compare: changes.map(({ key, expected }) => ({
    result: Compare_CompareResult.EQUAL,
    target: Compare_CompareTarget.MOD,
    key: bytes(key),
    targetUnion: { case: 'modRevision' as const, value: BigInt(expected) },
  })),
  success: changes.map(operationOf),
  failure: changes.map(({ key }) => ({
    request: { case: 'requestRange' as const, value: { key: bytes(key) } },
  })),
});

// TLS has no server names that are addresses; etcd's certificate is for localhost too.
const serverNameOf = (endpoint: string) => (endpoint.startsWith('127.') ? 'localhost' : undefined);

/** Reads and writes: one for each request of the API. */
const sessionOf = ({ endpoint, tls }: EtcdStoreOptions) =>
  grpcSession({ url: `https://${endpoint}`, tls: { ...tls, serverName: serverNameOf(endpoint) } });

/** The watch: one stream, for which a general client's care of the connection is worth its price. */
function clientOf({ endpoint, tls }: EtcdStoreOptions): grpc.Client {
  const credentials = grpc.credentials.createSsl(
    Buffer.from(tls.ca),
    Buffer.from(tls.key),
    Buffer.from(tls.cert),
  );
  const serverName = serverNameOf(endpoint);
  return new grpc.Client(endpoint, credentials, {
    ...(serverName === undefined ? {} : { 'grpc.ssl_target_name_override': serverName }),
    'grpc.keepalive_time_ms': 10_000,
    'grpc.keepalive_timeout_ms': 5_000,
    'grpc.max_receive_message_length': -1,
    'grpc.initial_reconnect_backoff_ms': 50,
    'grpc.min_reconnect_backoff_ms': 50,
    'grpc.max_reconnect_backoff_ms': 2_000,
  });
}

/** The Store in etcd (v3 API, mutual TLS). Reads are linearizable. */
export function etcdStore(options: EtcdStoreOptions): Store {
  const { clock, random = Math.random, onBroken = () => undefined } = options;
  const client = clientOf(options);
  const session = sessionOf(options);
  const kv = sessionClient(session, KV);

  async function call<T>(writing: boolean, body: () => Promise<T>): Promise<T> {
    try {
      return await body();
    } catch (error) {
      throw storeError(error, writing);
    }
  }
  const range = (request: Parameters<typeof kv.range>[0], signal: AbortSignal) =>
    call(false, () => kv.range(request, { signal, timeoutMs: callTimeoutMs }));

  async function list({ prefix, after, limit, revision }: ListOptions, signal: AbortSignal) {
    const answer = await range(
      {
        key: after === undefined ? bytes(prefix) : bytes(`${after}\0`),
        rangeEnd: endOf(prefix),
        limit: BigInt(limit ?? 0),
        revision: BigInt(revision ?? 0),
        sortOrder: RangeRequest_SortOrder.ASCEND,
        sortTarget: RangeRequest_SortTarget.KEY,
      },
      signal,
    );
    return {
      entries: answer.kvs.map(entryOf),
      revision: revision ?? Number(answer.header?.revision ?? 0n),
      remaining: Number(answer.count) - answer.kvs.length,
    };
  }

  async function commit(changes: readonly StoreChange[], signal: AbortSignal): Promise<CommitResult> {
    if (changes.length > maxChanges) throw new StoreError('TOO_LARGE', `more than ${maxChanges} changes`);
    const answer = await call(true, () =>
      kv.txn(transactionOf(changes), { signal, timeoutMs: callTimeoutMs }),
    );
    if (answer.succeeded) return { committed: true, revision: Number(answer.header?.revision ?? 0n) };
    const current = answer.responses.map(({ response }) => {
      const found = response.case === 'responseRange' ? response.value.kvs[0] : undefined;
      return found && entryOf(found);
    });
    return { committed: false, current };
  }

  return {
    async get(key, signal) {
      const answer = await range({ key: bytes(key) }, signal);
      return answer.kvs[0] && entryOf(answer.kvs[0]);
    },
    list,
    commit,
    watch: (prefix, revision, signal) =>
      resumingWatch({ client, clock, random, onBroken }, bytes(prefix), endOf(prefix), revision, signal),
    async compact(revision, signal) {
      await call(false, () =>
        kv.compact({ revision: BigInt(revision) }, { signal, timeoutMs: callTimeoutMs }),
      ).catch((error: unknown) => {
        throw withRevision(error, revision);
      });
    },
    async revision(signal) {
      const answer = await range({ key: bytes('\0'), countOnly: true }, signal);
      return Number(answer.header?.revision ?? 0n);
    },
    async close() {
      session.close();
      client.close();
    },
  };
}

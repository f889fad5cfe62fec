import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import type * as grpc from '@grpc/grpc-js';
import {
  WatchRequestSchema,
  WatchResponseSchema,
  type WatchRequest,
  type WatchResponse,
} from '../../../gen/etcd/rpc_pb.js';
import { Event_EventType, type Event } from '../../../gen/etcd/kv_pb.js';
import { backoffMs } from '../../../lib/backoff.ts';
import type { Clock } from '../../../lib/clock.ts';
import { compactedError, StoreError, type StoreBatch, type StoreEvent } from './store.ts';

const path = '/etcdserverpb.Watch/Watch';
const text = (bytes: Uint8Array) => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString();

function eventOf(event: Event): StoreEvent {
  const key = text(event.kv?.key ?? new Uint8Array());
  const revision = Number(event.kv?.modRevision ?? 0n);
  return event.type === Event_EventType.DELETE
    ? { type: 'delete', key, revision }
    : { type: 'put', key, value: text(event.kv?.value ?? new Uint8Array()), revision };
}

/** One stream: batches until it breaks (StoreError UNAVAILABLE) or the revision is compacted away. */
async function* stream(
  client: grpc.Client,
  key: Uint8Array,
  rangeEnd: Uint8Array,
  after: number,
  signal: AbortSignal,
): AsyncGenerator<StoreBatch> {
  const call = client.makeBidiStreamRequest<WatchRequest, WatchResponse>(
    path,
    (message) => Buffer.from(toBinary(WatchRequestSchema, message)),
    (bytes) => fromBinary(WatchResponseSchema, bytes),
  );
  const onAbort = () => call.cancel();
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    call.write(
      create(WatchRequestSchema, {
        requestUnion: {
          case: 'createRequest',
          value: { key, rangeEnd, startRevision: BigInt(after + 1), progressNotify: true, fragment: true },
        },
      }),
    );
    let gathered: StoreEvent[] = [];
    for await (const message of call as AsyncIterable<WatchResponse>) {
      if (message.canceled) {
        if (message.compactRevision > 0n) throw compactedError(after + 1, Number(message.compactRevision));
        throw new StoreError('UNAVAILABLE', `etcd ended the watch: ${message.cancelReason}`);
      }
      if (message.created) continue;
      for (const event of message.events) gathered.push(eventOf(event));
      // A fragment may end in the middle of a revision; readers see whole ones only.
      if (message.fragment) continue;
      yield { events: gathered, revision: Number(message.header?.revision ?? 0n) };
      gathered = [];
    }
    throw new StoreError('UNAVAILABLE', 'etcd ended the watch stream');
  } finally {
    signal.removeEventListener('abort', onAbort);
    call.cancel();
  }
}

export interface WatchDeps {
  readonly client: grpc.Client;
  readonly clock: Clock;
  readonly random: () => number;
  readonly onBroken: (error: unknown, retryInMs: number) => void;
}

/**
 * Batches after `revision`, over as many streams as it takes: a broken one is opened again after the last
 * revision that was seen. Ends only by the signal or with StoreError COMPACTED.
 */
export async function* resumingWatch(
  { client, clock, random, onBroken }: WatchDeps,
  key: Uint8Array,
  rangeEnd: Uint8Array,
  revision: number,
  signal: AbortSignal,
): AsyncGenerator<StoreBatch> {
  let seen = revision;
  for (let attempt = 0; ; attempt++) {
    signal.throwIfAborted();
    try {
      for await (const batch of stream(client, key, rangeEnd, seen, signal)) {
        attempt = 0;
        const events = batch.events.filter((event) => event.revision > seen);
        // A progress answer can be older than the events before it; never go back.
        seen = Math.max(seen, batch.revision, events.at(-1)?.revision ?? 0);
        yield { events, revision: seen };
      }
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof StoreError && error.code === 'COMPACTED') throw error;
      const waitMs = backoffMs(attempt, { baseMs: 50, maxMs: 5_000, jitter: 0.5, random });
      onBroken(error, waitMs);
      await clock.sleep(waitMs, signal);
    }
  }
}

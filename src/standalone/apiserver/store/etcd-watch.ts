import { create, toBinary } from '@bufbuild/protobuf';
import type * as grpc from '@grpc/grpc-js';
import { WatchRequestSchema, type WatchRequest } from '../../../gen/etcd/rpc_pb.js';
import { backoffMs } from '../../../lib/backoff.ts';
import type { Clock } from '../../../lib/clock.ts';
import { decodeWatch, type WatchAnswer } from './etcd-wire.ts';
import { compactedError, StoreError, type StoreBatch, type StoreEvent } from './store.ts';

const path = '/etcdserverpb.Watch/Watch';
/** One stream: batches until it breaks (StoreError UNAVAILABLE) or the revision is compacted away. */
async function* stream(
  client: grpc.Client,
  key: Uint8Array,
  rangeEnd: Uint8Array,
  after: number,
  signal: AbortSignal,
): AsyncGenerator<StoreBatch> {
  const call = client.makeBidiStreamRequest<WatchRequest, WatchAnswer>(
    path,
    (message) => Buffer.from(toBinary(WatchRequestSchema, message)),
    decodeWatch,
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
    for await (const message of call as AsyncIterable<WatchAnswer>) {
      if (message.canceled) {
        if (message.compactRevision > 0) throw compactedError(after + 1, message.compactRevision);
        throw new StoreError('UNAVAILABLE', `etcd ended the watch: ${message.cancelReason}`);
      }
      if (message.created) continue;
      for (const event of message.events) gathered.push(event);
      // A fragment may end in the middle of a revision; readers see whole ones only.
      if (message.fragment) continue;
      yield { events: gathered, revision: message.revision };
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

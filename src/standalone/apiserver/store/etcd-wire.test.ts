import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { expect, test } from 'vitest';
import { Event_EventType } from '../../../gen/etcd/kv_pb.js';
import {
  Compare_CompareResult,
  Compare_CompareTarget,
  TxnRequestSchema,
  TxnResponseSchema,
  WatchResponseSchema,
} from '../../../gen/etcd/rpc_pb.js';
import { isRpcError } from '../../../lib/grpc.ts';
import { decodeTxn, decodeWatch, encodeTxn } from './etcd-wire.ts';

const bytes = (value: string) => new Uint8Array(Buffer.from(value));
const long = 'ä'.repeat(100_000);
// Above 2^32 and 2^63: ids of members are random.
const header = {
  clusterId: 2n ** 64n - 1n,
  memberId: 2n ** 63n + 5n,
  revision: 2n ** 40n + 3n,
  raftTerm: 9n,
};

test('a transaction is what the generated code makes of it', () => {
  const changes = [
    { key: '/a', expected: 0, value: long },
    { key: '/é', expected: 2 ** 40 + 1, value: '{}' },
    { key: '/gone', expected: 127 },
  ];
  const range = (key: string) => ({
    request: { case: 'requestRange' as const, value: { key: bytes(key) } },
  });
  const put = (key: string, value: string) => ({
    request: { case: 'requestPut' as const, value: { key: bytes(key), value: bytes(value) } },
  });
  const expected = create(TxnRequestSchema, {
    compare: changes.map((change) => ({
      result: Compare_CompareResult.EQUAL,
      target: Compare_CompareTarget.MOD,
      key: bytes(change.key),
      targetUnion: { case: 'modRevision' as const, value: BigInt(change.expected) },
    })),
    success: [
      put('/a', long),
      put('/é', '{}'),
      { request: { case: 'requestDeleteRange' as const, value: { key: bytes('/gone') } } },
    ],
    failure: [range('/a'), range('/é'), range('/gone')],
  });
  expect(fromBinary(TxnRequestSchema, new Uint8Array(encodeTxn(changes)))).toEqual(
    fromBinary(TxnRequestSchema, toBinary(TxnRequestSchema, expected)),
  );
});

test('of an answer it is read whether and at which revision', () => {
  const responses = [{ response: { case: 'responsePut' as const, value: { header } } }];
  const made = toBinary(TxnResponseSchema, create(TxnResponseSchema, { header, succeeded: true, responses }));
  expect(decodeTxn(made)).toEqual({ succeeded: true, revision: 2 ** 40 + 3 });
  const refused = toBinary(TxnResponseSchema, create(TxnResponseSchema, { header, responses }));
  expect(decodeTxn(refused)).toEqual({ succeeded: false, revision: 2 ** 40 + 3 });
});

test('what a watch brings is read whole', () => {
  const kv = (key: string, value: string, modRevision: bigint) => ({
    key: bytes(key),
    value: bytes(value),
    createRevision: 1n,
    modRevision,
    version: 4n,
    lease: -1n,
  });
  const answer = create(WatchResponseSchema, {
    header,
    watchId: 7n,
    fragment: true,
    events: [
      { type: Event_EventType.PUT, kv: kv('/é', long, 5n), prevKv: kv('/é', 'old', 3n) },
      { type: Event_EventType.DELETE, kv: kv('/b', '', 2n ** 33n) },
    ],
  });
  expect(decodeWatch(toBinary(WatchResponseSchema, answer))).toEqual({
    revision: 2 ** 40 + 3,
    created: false,
    canceled: false,
    compactRevision: 0,
    cancelReason: '',
    fragment: true,
    events: [
      { type: 'put', key: '/é', value: long, revision: 5 },
      { type: 'delete', key: '/b', revision: 2 ** 33 },
    ],
  });
  const end = create(WatchResponseSchema, {
    header,
    created: true,
    canceled: true,
    compactRevision: 300n,
    cancelReason: 'compacted',
  });
  expect(decodeWatch(toBinary(WatchResponseSchema, end))).toMatchObject({
    created: true,
    canceled: true,
    compactRevision: 300,
    cancelReason: 'compacted',
    fragment: false,
    events: [],
  });
});

test('a message that is cut off is refused, wherever', () => {
  const whole = toBinary(
    WatchResponseSchema,
    create(WatchResponseSchema, { header, events: [{ kv: { key: bytes('/a'), modRevision: 300n } }] }),
  );
  const ends = Array.from({ length: whole.length }, (_, at) => whole.subarray(0, at));
  const outcomes = ends.map((part) => {
    try {
      return decodeWatch(part).events.length;
    } catch (error) {
      return isRpcError(error) ? 'refused' : error;
    }
  });
  // Only between two fields is a shorter message a whole one.
  expect(outcomes.filter((outcome) => outcome !== 'refused')).toEqual([0, 0]);
});

import { Code, RpcError } from '../../../lib/grpc.ts';
import type { StoreChange, StoreEvent } from './store.ts';

// What every write moves, encoded and decoded by hand: the general library, which looks each field up in a
// description of its message, costs more than etcd's own part of a write. Numbers of fields are those of
// proto/etcd/rpc.proto and kv.proto; a test holds all of this to the generated code. Whatever is rare goes
// through that.

const varint = 0;
const fixed64 = 1;
const lengthDelimited = 2;
const fixed32 = 5;
const lastByte = 0x80;

function pushVarint(into: number[], value: number): void {
  let rest = value;
  for (; rest >= lastByte; rest = Math.floor(rest / lastByte)) into.push((rest % lastByte) | lastByte);
  into.push(rest);
}

/** A field below 16, whose tag is one byte. */
function field(number: number, ...parts: readonly Uint8Array[]): Buffer {
  let length = 0;
  for (const part of parts) length += part.length;
  const head = [(number << 3) | lengthDelimited];
  pushVarint(head, length);
  return Buffer.concat([Buffer.from(head), ...parts], head.length + length);
}

const targetMod = Buffer.from([(2 << 3) | varint, 2]);

function modRevision(revision: number): Buffer {
  const bytes = [(6 << 3) | varint];
  pushVarint(bytes, revision);
  return Buffer.from(bytes);
}

/**
 * A TxnRequest that makes all changes if every key is at its expected revision, and else reads the keys.
 * A Compare is target = 2, key = 3, mod_revision = 6; a RequestOp is a range = 1, a put = 2 or a delete = 3.
 */
export function encodeTxn(changes: readonly StoreChange[]): Uint8Array {
  const compare: Buffer[] = [];
  const success: Buffer[] = [];
  const failure: Buffer[] = [];
  for (const { key: name, expected, value } of changes) {
    const bytes = Buffer.from(name);
    const key = field(1, bytes);
    compare.push(field(1, targetMod, field(3, bytes), modRevision(expected)));
    success.push(field(2, value === undefined ? field(3, key) : field(2, key, field(2, Buffer.from(value)))));
    failure.push(field(3, field(1, key)));
  }
  return Buffer.concat([...compare, ...success, ...failure]);
}

const cutOff = () => new RpcError(Code.INTERNAL, "etcd's answer is cut off");
const nothing = new Uint8Array();

/**
 * Calls `visit` with each field of a message: the number where it is one, the bytes where it has a length.
 * Numbers past 2^53 lose their last digits; those that are read here are revisions, which stay below.
 */
function eachField(
  message: Uint8Array,
  visit: (field: number, value: number, bytes: Uint8Array) => void,
): void {
  let at = 0;
  const number = (): number => {
    let value = 0;
    for (let scale = 1; at < message.length; scale *= lastByte) {
      const byte = message[at++] as number;
      value += (byte % lastByte) * scale;
      if (byte < lastByte) return value;
    }
    throw cutOff();
  };
  while (at < message.length) {
    const tag = number();
    const type = tag % 8;
    if (type === varint) {
      visit(Math.floor(tag / 8), number(), nothing);
      continue;
    }
    const length =
      type === lengthDelimited ? number() : type === fixed64 ? 8 : type === fixed32 ? 4 : Infinity;
    if (at + length > message.length) throw cutOff();
    at += length;
    if (type === lengthDelimited) visit(Math.floor(tag / 8), 0, message.subarray(at - length, at));
  }
}

/** `revision` of a ResponseHeader. */
function headerRevision(header: Uint8Array): number {
  let revision = 0;
  eachField(header, (number, value) => {
    if (number === 3) revision = value;
  });
  return revision;
}

/** Whether a TxnResponse says that the changes were made, and at which revision; not what else was answered. */
export function decodeTxn(message: Uint8Array): { readonly succeeded: boolean; readonly revision: number } {
  let succeeded = false;
  let revision = 0;
  eachField(message, (number, value, bytes) => {
    if (number === 1) revision = headerRevision(bytes);
    else if (number === 2) succeeded = value !== 0;
  });
  return { succeeded, revision };
}

const text = (bytes: Uint8Array) => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString();

function eventOf(message: Uint8Array): StoreEvent {
  let isDelete = false;
  let key = '';
  let value = '';
  let revision = 0;
  const ofPair = (number: number, own: number, bytes: Uint8Array) => {
    if (number === 1) key = text(bytes);
    else if (number === 3) revision = own;
    else if (number === 5) value = text(bytes);
  };
  eachField(message, (number, own, bytes) => {
    if (number === 1) isDelete = own === 1;
    else if (number === 2) eachField(bytes, ofPair);
  });
  return isDelete ? { type: 'delete', key, revision } : { type: 'put', key, value, revision };
}

/** A WatchResponse. */
export interface WatchAnswer {
  readonly revision: number;
  readonly created: boolean;
  readonly canceled: boolean;
  readonly compactRevision: number;
  readonly cancelReason: string;
  /** More events of the same revision follow in the next one. */
  readonly fragment: boolean;
  readonly events: readonly StoreEvent[];
}

export function decodeWatch(message: Uint8Array): WatchAnswer {
  const events: StoreEvent[] = [];
  const numbers = new Map<number, number>();
  let revision = 0;
  let cancelReason = '';
  eachField(message, (number, value, bytes) => {
    if (number === 11) events.push(eventOf(bytes));
    else if (number === 1) revision = headerRevision(bytes);
    else if (number === 6) cancelReason = text(bytes);
    else numbers.set(number, value);
  });
  const is = (number: number) => (numbers.get(number) ?? 0) !== 0;
  return {
    revision,
    created: is(3),
    canceled: is(4),
    compactRevision: numbers.get(5) ?? 0,
    cancelReason,
    fragment: is(7),
    events,
  };
}

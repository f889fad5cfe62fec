import type { Json, JsonObject } from '../kind.ts';
import { coreMessages } from './core-messages.ts';
import { groupMessages, kindMessages } from './group-messages.ts';

export const protobufType = 'application/vnd.kubernetes.protobuf';

interface Field {
  readonly name: string;
  readonly type: string;
  readonly many: 'one' | 'list' | 'map';
  /** A zero value was set on purpose. */
  readonly pointer: boolean;
}

class ProtobufError extends Error {
  readonly code = 'PROTOBUF';
}

/**
 * Message -> its fields, each number:name:type; an empty name is inlined into its parent. Types: s string,
 * i integer, b boolean, y bytes, d double, @... special, else a message. Suffixes: * repeated, % map with string
 * keys, ? pointer (a zero value means something).
 */
export const messageFields: Readonly<Record<string, string>> = { ...coreMessages, ...groupMessages };

const messages = new Map<string, ReadonlyMap<number, Field>>();

function fieldsOf(message: string): ReadonlyMap<number, Field> {
  let fields = messages.get(message);
  if (!fields) {
    const parsed = (messageFields[message] ?? '').split(' ').map((text): [number, Field] => {
      const [number = '', name = '', type = ''] = text.split(':');
      const many = type.endsWith('*') ? 'list' : type.endsWith('%') ? 'map' : 'one';
      return [Number(number), { name, type: type.replace(/[*%?]$/, ''), many, pointer: type.endsWith('?') }];
    });
    messages.set(message, (fields = new Map(parsed)));
  }
  return fields;
}

/** Walks the fields of one encoded message. Numbers are bigint, the rest bytes. */
function* wireFields(bytes: Uint8Array): Generator<readonly [field: number, value: bigint | Uint8Array]> {
  let at = 0;
  const varint = (): bigint => {
    let value = 0n;
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const byte = bytes[at++];
      if (byte === undefined) break;
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return BigInt.asUintN(64, value);
    }
    throw new ProtobufError('a number is cut off');
  };
  const take = (length: number): Uint8Array => {
    if (length < 0 || at + length > bytes.length) throw new ProtobufError('a field is cut off');
    at += length;
    return bytes.subarray(at - length, at);
  };
  while (at < bytes.length) {
    const tag = Number(varint());
    const wire = tag & 7;
    if (wire === 0) yield [tag >>> 3, varint()];
    else if (wire === 1) yield [tag >>> 3, take(8)];
    else if (wire === 2) yield [tag >>> 3, take(Number(varint()))];
    else if (wire === 5) yield [tag >>> 3, take(4)];
    else throw new ProtobufError(`wire type ${wire} is not known`);
  }
}

const text = (bytes: Uint8Array) => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString();
const bytesOf = (value: bigint | Uint8Array): Uint8Array => {
  if (typeof value === 'bigint') throw new ProtobufError('a field has the wrong wire type');
  return value;
};
const intOf = (value: bigint | Uint8Array): number => {
  if (typeof value !== 'bigint') throw new ProtobufError('a field has the wrong wire type');
  return Number(BigInt.asIntN(64, value));
};
const wireMap = (value: bigint | Uint8Array) => new Map(wireFields(bytesOf(value)));

function timeOf(value: bigint | Uint8Array, micro: boolean): Json {
  const fields = wireMap(value);
  if (fields.size === 0) return null;
  const seconds = intOf(fields.get(1) ?? 0n);
  const whole = new Date(seconds * 1000).toISOString().slice(0, 19);
  if (!micro) return `${whole}Z`;
  const micros = Math.floor(intOf(fields.get(2) ?? 0n) / 1000);
  return `${whole}.${String(micros).padStart(6, '0')}Z`;
}

function textField(value: bigint | Uint8Array, number: number): string {
  const inner = wireMap(value).get(number);
  return inner === undefined ? '' : text(bytesOf(inner));
}

const specials: Readonly<Record<string, (value: bigint | Uint8Array) => Json>> = {
  s: (value) => text(bytesOf(value)),
  i: intOf,
  b: (value) => value !== 0n,
  y: (value) => Buffer.from(bytesOf(value)).toString('base64'),
  d: (value) => Buffer.from(bytesOf(value)).readDoubleLE(),
  '@time': (value) => timeOf(value, false),
  '@microtime': (value) => timeOf(value, true),
  '@quantity': (value) => textField(value, 1),
  '@duration': (value) => `${intOf(wireMap(value).get(1) ?? 0n)}ns`,
  '@fields': (value) => JSON.parse(textField(value, 1) || '{}') as Json,
  '@raw': (value) => JSON.parse(textField(value, 1) || 'null') as Json,
  '@intstr': (value) => {
    const fields = wireMap(value);
    return (fields.get(1) ?? 0n) === 0n
      ? int32Of(fields.get(2) ?? 0n)
      : text(bytesOf(fields.get(3) ?? new Uint8Array()));
  },
};

function int32Of(value: bigint | Uint8Array): number {
  return Number(BigInt.asIntN(32, BigInt(intOf(value))));
}

const maxDepth = 64;

function valueOf(type: string, value: bigint | Uint8Array, depth: number): Json {
  const special = specials[type];
  if (special) return special(value);
  const object = messageOf(type, bytesOf(value), depth + 1);
  // A message that is only a wrapper around a list is that list in JSON.
  return type.endsWith('.ExtraValue') ? (object['items'] ?? []) : object;
}

const isZero = (value: Json): boolean =>
  value === '' ||
  value === 0 ||
  value === false ||
  value === null ||
  (typeof value === 'object' && !Array.isArray(value) && Object.keys(value).length === 0);

function messageOf(message: string, bytes: Uint8Array, depth: number): JsonObject {
  if (depth > maxDepth) throw new ProtobufError('the object is nested too deeply');
  const fields = fieldsOf(message);
  const object: JsonObject = {};
  for (const [number, wire] of wireFields(bytes)) {
    const field = fields.get(number);
    if (!field) continue;
    const { name, type, many, pointer } = field;
    if (many === 'map') {
      const entry = wireMap(wire);
      const key = text(bytesOf(entry.get(1) ?? new Uint8Array()));
      const inner = entry.get(2) ?? (type === 'i' || type === 'b' ? 0n : new Uint8Array());
      const map = (object[name] ??= {}) as JsonObject;
      Object.defineProperty(map, key, {
        value: valueOf(type, inner, depth),
        enumerable: true,
        writable: true,
        configurable: true,
      });
    } else if (many === 'list') ((object[name] ??= []) as Json[]).push(valueOf(type, wire, depth));
    else {
      const value = valueOf(type, wire, depth);
      if (name === '') Object.assign(object, value);
      else if (pointer || !isZero(value)) object[name] = value;
    }
  }
  return object;
}

/**
 * An object as clients of Kubernetes' own kinds send it: `k8s\0`, then a runtime.Unknown with its type and
 * bytes. Undefined where the kind is not one of those; throws where the bytes make no sense.
 */
export function decodeObject(bytes: Uint8Array): JsonObject | undefined {
  if (text(bytes.subarray(0, 4)) !== 'k8s\0') throw new ProtobufError('the magic bytes are missing');
  const envelope = new Map(wireFields(bytes.subarray(4)));
  const type = wireMap(envelope.get(1) ?? new Uint8Array());
  const [apiVersion, kind] = [1, 2].map((number) => text(bytesOf(type.get(number) ?? new Uint8Array())));
  // DeleteOptions come under whichever group the client's version was made for.
  const message = kind === 'DeleteOptions' ? 'meta.DeleteOptions' : kindMessages[`${apiVersion}/${kind}`];
  if (message === undefined) return undefined;
  const object = messageOf(message, bytesOf(envelope.get(2) ?? new Uint8Array()), 0);
  return { apiVersion: apiVersion ?? '', kind: kind ?? '', ...object };
}

import type { Json, JsonObject } from '../kind.ts';

// A Swagger 2.0 document in the wire form of gnostic's openapi_v2.Document, which older kubectls take. Only
// what such clients read is written. Field numbers are those of gnostic's OpenAPIv2.proto.

const utf8 = new TextEncoder();
const lengthDelimited = 2;

function varint(value: number): number[] {
  const bytes: number[] = [];
  let rest = value;
  while (rest > 127) {
    bytes.push((rest % 128) + 128);
    rest = Math.floor(rest / 128);
  }
  return [...bytes, rest];
}

/** One field: a text or a message with its length, a boolean as a number. Nothing where there is no value. */
function field(number: number, value: string | Buffer | boolean | undefined): Buffer {
  if (value === undefined || value === '' || value === false) return Buffer.alloc(0);
  if (value === true) return Buffer.from([...varint(number * 8), 1]);
  const bytes = typeof value === 'string' ? utf8.encode(value) : value;
  return Buffer.concat([
    Buffer.from([...varint(number * 8 + lengthDelimited), ...varint(bytes.length)]),
    bytes,
  ]);
}

const message = (...fields: readonly Buffer[]): Buffer => Buffer.concat(fields);
const asText = (value: Json | undefined): string | undefined =>
  typeof value === 'string' ? value : undefined;
const asMap = (value: Json | undefined): JsonObject | undefined =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? value : undefined;
const asList = (value: Json | undefined): readonly Json[] => (Array.isArray(value) ? value : []);

/** A value of any kind is carried as YAML, of which JSON is a part. */
const any = (value: Json): Buffer => message(field(2, JSON.stringify(value)));
const named = (name: string, value: Buffer): Buffer => message(field(1, name), field(2, value));

const extensions = (object: JsonObject, number: number): Buffer[] =>
  Object.entries(object)
    .filter(([name]) => name.startsWith('x-'))
    .map(([name, value]) => field(number, named(name, any(value))));

/** NamedSchema entries, as both Definitions and Properties have them. */
const schemas = (map: JsonObject): Buffer =>
  message(...Object.entries(map).map(([name, one]) => field(1, named(name, schema(asMap(one) ?? {})))));

function additional(value: Json | undefined): Buffer | undefined {
  if (value === undefined) return undefined;
  return typeof value === 'boolean'
    ? message(field(2, value))
    : message(field(1, schema(asMap(value) ?? {})));
}

function schema(one: JsonObject): Buffer {
  const { properties, items } = one;
  const type = asText(one['type']);
  return message(
    field(1, asText(one['$ref'])),
    field(2, asText(one['format'])),
    field(4, asText(one['description'])),
    field(5, one['default'] === undefined ? undefined : any(one['default'])),
    ...asList(one['required']).map((name) => field(19, asText(name))),
    ...asList(one['enum']).map((value) => field(20, any(value))),
    field(21, additional(one['additionalProperties'])),
    field(22, type === undefined ? undefined : message(field(1, type))),
    field(23, items === undefined ? undefined : message(field(1, schema(asMap(items) ?? {})))),
    field(25, properties === undefined ? undefined : schemas(asMap(properties) ?? {})),
    ...extensions(one, 31),
  );
}

/** A query parameter, inside its three wrappings. */
function parameter(one: JsonObject): Buffer {
  const query = message(
    field(2, asText(one['in'])),
    field(3, asText(one['description'])),
    field(4, asText(one['name'])),
    field(6, asText(one['type'])),
    field(20, one['uniqueItems'] === true),
  );
  const nonBody = message(field(3, query));
  return message(field(1, message(field(2, nonBody))));
}

const operation = (one: JsonObject): Buffer =>
  message(
    field(5, asText(one['operationId'])),
    ...asList(one['produces']).map((type) => field(6, asText(type))),
    ...asList(one['consumes']).map((type) => field(7, asText(type))),
    ...asList(one['parameters']).map((item) => field(8, parameter(asMap(item) ?? {}))),
    ...extensions(one, 13),
  );

const methods = { get: 2, put: 3, post: 4, delete: 5, patch: 8 } as const;

const pathItem = (one: JsonObject): Buffer =>
  message(
    ...Object.entries(methods).map(([method, number]) => {
      const found = asMap(one[method]);
      return field(number, found && operation(found));
    }),
  );

/** Encodes a document such as `openApiV2Json` makes. */
export function encodeDocument(document: JsonObject): Uint8Array {
  const info = asMap(document['info']) ?? {};
  const paths = Object.entries(asMap(document['paths']) ?? {});
  return message(
    field(1, asText(document['swagger'])),
    field(2, message(field(1, asText(info['title'])), field(2, asText(info['version'])))),
    field(8, message(...paths.map(([path, item]) => field(2, named(path, pathItem(asMap(item) ?? {})))))),
    field(9, schemas(asMap(document['definitions']) ?? {})),
  );
}

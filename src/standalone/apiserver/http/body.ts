import { parse as parseYaml } from 'yaml';
import { decodeObject, protobufType } from '../protobuf/decode.ts';
import { ApiError, unsupportedMediaType } from '../status.ts';
import type { ApiRequest } from './exchange.ts';

/** Kubernetes' own limit. */
export const maxBodyBytes = 3 * 1024 * 1024;

const tooLarge = () =>
  new ApiError(413, 'RequestEntityTooLarge', `Request entity too large: limit is ${maxBodyBytes}`);

/** The media type without its parameters. */
export const contentTypeOf = (req: ApiRequest): string =>
  (req.headers['content-type'] ?? '').split(';')[0]?.trim().toLowerCase() ?? '';

/** The whole body; 413 above 3 MiB, without reading on. */
async function readBytes(req: ApiRequest, signal: AbortSignal): Promise<Buffer> {
  if (Number(req.headers['content-length'] ?? 0) > maxBodyBytes) throw tooLarge();
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of req) {
    signal.throwIfAborted();
    size += chunk.length;
    if (size > maxBodyBytes) throw tooLarge();
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

/** The whole body as text. */
export const readBody = async (req: ApiRequest, signal: AbortSignal): Promise<string> =>
  // In characters, of which none is more than three bytes: what may be too long is counted below.
  req.text !== undefined && req.text.length <= maxBodyBytes / 3
    ? req.text
    : (await readBytes(req, signal)).toString();

const bodyTypes = ['application/json', 'application/yaml', protobufType];

function fromProtobuf(bytes: Uint8Array): unknown {
  let object: unknown;
  try {
    object = decodeObject(bytes);
  } catch (cause) {
    const why = `the object provided is not valid protobuf: ${(cause as Error).message}`;
    throw new ApiError(400, 'BadRequest', why, undefined, { cause });
  }
  if (object === undefined) throw unsupportedMediaType(['application/json', 'application/yaml']);
  return object;
}

/** An object sent as JSON, YAML, or protobuf where it is of a core kind; undefined where the body is empty. */
export async function readObject(req: ApiRequest, signal: AbortSignal): Promise<unknown> {
  const type = contentTypeOf(req);
  if (type !== '' && !bodyTypes.includes(type) && type !== 'application/x-www-form-urlencoded')
    throw unsupportedMediaType(bodyTypes);
  if (type === protobufType) {
    const bytes = await readBytes(req, signal);
    return bytes.length === 0 ? undefined : fromProtobuf(bytes);
  }
  const text = await readBody(req, signal);
  if (text.trim() === '') return undefined;
  try {
    return type === 'application/yaml' && !text.trimStart().startsWith('{')
      ? (parseYaml(text) as unknown)
      : (JSON.parse(text) as unknown);
  } catch (cause) {
    throw new ApiError(
      400,
      'BadRequest',
      `the object provided is unrecognized (must be of type JSON or YAML): ${(cause as Error).message}`,
      undefined,
      { cause },
    );
  }
}

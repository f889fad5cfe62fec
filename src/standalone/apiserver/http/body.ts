import type { IncomingMessage } from 'node:http';
import { parse as parseYaml } from 'yaml';
import { ApiError, unsupportedMediaType } from '../status.ts';

/** Kubernetes' own limit. */
export const maxBodyBytes = 3 * 1024 * 1024;

const tooLarge = () =>
  new ApiError(413, 'RequestEntityTooLarge', `Request entity too large: limit is ${maxBodyBytes}`);

/** The media type without its parameters. */
export const contentTypeOf = (req: IncomingMessage): string =>
  (req.headers['content-type'] ?? '').split(';')[0]?.trim().toLowerCase() ?? '';

/** The whole body as text; 413 above 3 MiB, without reading on. */
export async function readBody(req: IncomingMessage, signal: AbortSignal): Promise<string> {
  if (Number(req.headers['content-length'] ?? 0) > maxBodyBytes) throw tooLarge();
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of req as AsyncIterable<Buffer>) {
    signal.throwIfAborted();
    size += chunk.length;
    if (size > maxBodyBytes) throw tooLarge();
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}

const bodyTypes = ['application/json', 'application/yaml'];

/** An object sent as JSON or YAML; undefined where the body is empty. Protobuf is refused with 415. */
export async function readObject(req: IncomingMessage, signal: AbortSignal): Promise<unknown> {
  const type = contentTypeOf(req);
  if (type !== '' && !bodyTypes.includes(type) && type !== 'application/x-www-form-urlencoded')
    throw unsupportedMediaType(bodyTypes);
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

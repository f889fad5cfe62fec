import { once } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import { stringify as toYaml } from 'yaml';
import type { Json } from '../kind.ts';
import { statusOf, type ApiError } from '../status.ts';

const gzipAsync = promisify(gzip);
const gzipAboveBytes = 128 * 1024;

/** Objects in the cache never change, so each is turned into text once, for all who list it. */
const texts = new WeakMap<object, string>();

export function textOf(object: object): string {
  let text = texts.get(object);
  if (text === undefined) texts.set(object, (text = JSON.stringify(object)));
  return text;
}

/** An object that was just written is answered, and at once sent to all who watch it; then its text only takes room. */
const recent = new Map<object, string>();
const keptRecent = 64;

/** The same for one answer: only the latest are kept. */
export function textSoon(object: object): string {
  let text = texts.get(object) ?? recent.get(object);
  if (text !== undefined) return text;
  recent.set(object, (text = JSON.stringify(object)));
  // A Map gives its keys in the order in which they came.
  const [oldest] = recent.keys();
  if (recent.size > keptRecent && oldest) recent.delete(oldest);
  return text;
}

/** The same for a reader that keeps the text itself. */
export const textOnce = (object: object): string =>
  texts.get(object) ?? recent.get(object) ?? JSON.stringify(object);

/** `Warning: 299 - "text"`: what kubectl prints as a warning. */
export function warningHeader(text: string): string {
  // Header values are one line of Latin-1; the quoted text escapes its own quotes.
  const line = text.replaceAll(/[^\x20-\x7e]/g, ' ').replaceAll(/["\\]/g, '\\$&');
  return `299 - "${line}"`;
}

export interface Reply {
  readonly code: number;
  readonly text: string | Uint8Array;
  readonly contentType: string;
  readonly headers?: Readonly<Record<string, string | readonly string[]>>;
}

/** An answer that comes piece by piece, until it ends or the client goes away. */
export interface StreamReply {
  readonly code: 200;
  readonly contentType: string;
  readonly stream: AsyncIterable<Uint8Array>;
}

/**
 * Writes the pieces to the client as they come, no faster than it takes them: a slow one waits in its
 * socket's buffer, and its watch falls behind until the cache cuts it off.
 */
export async function sendStream(
  res: ServerResponse,
  { code, contentType, stream }: StreamReply,
  signal: AbortSignal,
): Promise<void> {
  if (res.destroyed) return;
  res.writeHead(code, { 'content-type': contentType, 'cache-control': 'no-cache, private' });
  // The client's watch begins with the headers, also where nothing happens for long.
  res.flushHeaders();
  try {
    for await (const piece of stream) {
      if (signal.aborted) break;
      if (!res.write(piece)) await once(res, 'drain', { signal });
    }
    res.end();
  } catch (error) {
    if (!signal.aborted) throw error;
  }
}

export async function send(req: IncomingMessage, res: ServerResponse, reply: Reply): Promise<void> {
  if (res.headersSent || res.destroyed) return;
  for (const [name, value] of Object.entries(reply.headers ?? {})) res.setHeader(name, value as string);
  res.setHeader('content-type', reply.contentType);
  res.setHeader('cache-control', 'no-cache, private');
  let body = typeof reply.text === 'string' ? Buffer.from(reply.text) : Buffer.from(reply.text);
  if (body.length > gzipAboveBytes && /\bgzip\b/.test(String(req.headers['accept-encoding'] ?? ''))) {
    body = await gzipAsync(body, { level: 1 });
    res.setHeader('content-encoding', 'gzip');
    res.setHeader('vary', 'accept-encoding');
  }
  res.setHeader('content-length', body.length);
  res.writeHead(reply.code);
  res.end(req.method === 'HEAD' ? undefined : body);
}

export function jsonReply(code: number, object: object, yaml = false): Reply {
  return yaml
    ? { code, text: toYaml(object), contentType: 'application/yaml' }
    : { code, text: textSoon(object), contentType: 'application/json' };
}

export function listReply(head: { [key: string]: Json }, items: readonly object[], yaml: boolean): Reply {
  if (yaml) return { code: 200, text: toYaml({ ...head, items }), contentType: 'application/yaml' };
  const text = `${JSON.stringify(head).slice(0, -1)},"items":[${items.map(textOf).join(',')}]}`;
  return { code: 200, text, contentType: 'application/json' };
}

export function errorReply(error: ApiError): Reply {
  const retry = error.details?.retryAfterSeconds;
  return {
    code: error.code,
    text: JSON.stringify(statusOf(error)),
    contentType: 'application/json',
    ...(retry === undefined ? {} : { headers: { 'retry-after': String(retry) } }),
  };
}

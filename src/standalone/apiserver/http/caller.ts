import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Caller } from '../registry/request.ts';
import { warningHeader } from './respond.ts';

/** Kubernetes' limit for requests that are no watch and no stream. */
export const requestTimeoutMs = 60_000;
const maxWarnings = 32;
const maxWarningBytes = 4096;

/** Aborts when the client goes away, or when the time is over. */
export function requestSignal(res: ServerResponse, timeoutMs: number | undefined): AbortSignal {
  const own = new AbortController();
  const timer =
    timeoutMs === undefined
      ? undefined
      : setTimeout(() => own.abort(new Error('the request took too long')), timeoutMs);
  res.once('close', () => {
    clearTimeout(timer);
    own.abort(new Error('the client went away'));
  });
  return own.signal;
}

/** Puts warnings into an answer's headers, bounded in number and size. */
export function warner(res: ServerResponse): Caller['warn'] {
  const texts = new Set<string>();
  let bytes = 0;
  return (text) => {
    bytes += text.length;
    if (texts.size >= maxWarnings || bytes > maxWarningBytes || res.headersSent) return;
    texts.add(text);
    res.setHeader('warning', [...texts].map(warningHeader));
  };
}

/** The first word of a client's User-Agent, for logs. */
export const agentOf = (req: IncomingMessage): string =>
  (req.headers['user-agent'] ?? '').split(' ')[0] ?? '';

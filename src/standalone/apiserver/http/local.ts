import type { UserInfo } from '../registry/request.ts';
import type { Answer, ApiRequest } from './exchange.ts';
import { asApiError, type Answerer, type HandlerDeps } from './handler.ts';
import { errorReply } from './respond.ts';

/** A request from within this process: what it would be over HTTP, without the wire. */
export interface LocalRequest {
  readonly method: string;
  /** With its query. */
  readonly path: string;
  readonly contentType?: string | undefined;
  /** JSON; so caller and server never share an object. */
  readonly body?: string | undefined;
}

/**
 * Answers a request as it would be over HTTP, refusals included. Rejects only with the signal's reason. A
 * stream ends when the signal aborts, or the server closes.
 */
export type LocalApi = (request: LocalRequest, signal: AbortSignal) => Promise<Answer>;

/** What runs beside the server asks it so: as a user whom roles must allow what it does, as anyone else. */
export function localApi(
  { log, observe }: Pick<HandlerDeps, 'log' | 'observe'>,
  answer: Answerer,
  user: UserInfo,
  closing: AbortSignal,
): LocalApi {
  return async (request, signal) => {
    const started = performance.now();
    const seen = { verb: '', resource: '' };
    let code = 200;
    const req = requestOf(request);
    try {
      const reply = await answer(
        {
          req,
          signalFor: (endless) => (endless ? AbortSignal.any([signal, closing]) : signal),
          user: () => Promise.resolve(user),
          warn: () => undefined,
        },
        seen,
      );
      code = reply.code;
      return reply;
    } catch (error) {
      if (signal.aborted) {
        code = 499;
        throw signal.reason;
      }
      const refused = asApiError(error, log, req);
      code = refused.code;
      return errorReply(refused);
    } finally {
      observe(seen.verb, seen.resource, code, (performance.now() - started) / 1000);
    }
  };
}

function requestOf({ method, path, contentType, body }: LocalRequest): ApiRequest {
  return {
    method,
    url: path,
    headers: {
      accept: 'application/json',
      ...(contentType === undefined ? {} : { 'content-type': contentType }),
    },
    text: body,
    async *[Symbol.asyncIterator]() {
      if (body !== undefined) yield await Promise.resolve(Buffer.from(body));
    },
  };
}

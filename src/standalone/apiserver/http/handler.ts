import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Logger } from '../../../lib/log.ts';
import type { Access } from '../auth/access.ts';
import type { KindInfo } from '../kind.ts';
import type { RegistryDeps } from '../registry/request.ts';
import {
  internalError,
  isApiError,
  notFound,
  pageNotFound,
  tooManyRequests,
  type ApiError,
} from '../status.ts';
import { callerOf, requestSignal, requestTimeoutMs } from './caller.ts';
import type { Answer, Exchange } from './exchange.ts';
import { handleResource } from './resource.ts';
import { errorReply, send, type Reply } from './respond.ts';
import { resourceRoute, verbOf, type ResourceRoute } from './route.ts';

/** Answers a request for paths that name no objects; undefined where it is not its path. */
export type PlainHandler = (
  path: string,
  query: URLSearchParams,
  req: IncomingMessage,
) => Reply | undefined | Promise<Reply | undefined>;

/** A subresource or a kind with a meaning of its own; undefined leaves it to the generic verbs. */
export type SpecialHandler = (exchange: Exchange) => Promise<Answer> | undefined;

export interface HandlerDeps {
  readonly registry: RegistryDeps;
  readonly access: Access;
  readonly plain: readonly PlainHandler[];
  readonly special: readonly SpecialHandler[];
  readonly log: Logger;
  readonly observe: (verb: string, resource: string, code: number, seconds: number) => void;
}

const maxInFlight = 400;
const longRunning = new Set(['exec', 'attach', 'portforward', 'log']);

/** The kind of a route; one that was just defined may still be on its way, so it waits for the last write. */
export async function kindOf(
  registry: RegistryDeps,
  route: ResourceRoute,
  signal: AbortSignal,
): Promise<KindInfo> {
  const find = () => registry.kinds.find(route.group, route.version, route.plural);
  let kind = find();
  if (!kind) {
    await registry.cache.fresh(signal);
    kind = find();
  }
  if (!kind) throw pageNotFound();
  if (!kind.namespaced && route.namespace !== undefined) throw pageNotFound();
  if (kind.namespaced && route.namespace === undefined && route.name !== undefined)
    throw notFound(kind, route.name);
  return kind;
}

function asApiError(error: unknown, log: Logger, req: IncomingMessage): ApiError {
  if (isApiError(error)) return error;
  log.error({ err: error, method: req.method, url: req.url }, 'request failed');
  return internalError(error instanceof Error ? error.message : 'unknown', error);
}

/** Serves one request: who, may they, and then what. Every failure becomes a Status. */
export function requestHandler(deps: HandlerDeps) {
  const { registry, access, plain, special, log } = deps;
  let inFlight = 0;

  async function answer(req: IncomingMessage, res: ServerResponse, seen: { verb: string; resource: string }) {
    const url = new URL(req.url ?? '/', 'http://api');
    const query = url.searchParams;
    const route = resourceRoute(url.pathname);
    const verb = route ? verbOf(req.method ?? 'GET', route, query) : (req.method ?? 'GET').toLowerCase();
    seen.verb = verb;
    seen.resource = route?.plural ?? '';
    const endless = verb === 'watch' || (route !== undefined && longRunning.has(route.subresource));
    const signal = requestSignal(res, endless ? undefined : requestTimeoutMs);
    if (!endless && inFlight >= maxInFlight)
      throw tooManyRequests('The apiserver has received too many requests, please try again later.', 1);
    if (!endless) inFlight++;
    try {
      const user = await access.authenticate(req, signal);
      await access.authorize(user, route ? { route, verb, query } : { path: url.pathname, verb }, signal);
      if (!route) {
        for (const handler of plain) {
          const reply = await handler(url.pathname, query, req);
          if (reply) return reply;
        }
        throw pageNotFound();
      }
      const kind = await kindOf(registry, route, signal);
      const caller = callerOf(user, res, signal);
      const exchange: Exchange = { deps: registry, kind, route, verb, query, req, res, caller };
      for (const handler of special) {
        const taken = handler(exchange);
        if (taken) return await taken;
      }
      return await handleResource(exchange);
    } finally {
      if (!endless) inFlight--;
    }
  }

  return async (req: IncomingMessage, res: ServerResponse): Promise<void> => {
    const started = performance.now();
    const seen = { verb: '', resource: '' };
    let code = 200;
    try {
      const reply = await answer(req, res, seen);
      if (reply !== 'streamed') {
        code = reply.code;
        await send(req, res, reply);
      }
    } catch (error) {
      if (res.destroyed) code = 499;
      else {
        const refused = asApiError(error, log, req);
        code = refused.code;
        if (res.headersSent) res.destroy();
        else {
          // An unread body would be taken for the next request.
          if (!req.complete) res.setHeader('connection', 'close');
          await send(req, res, errorReply(refused));
        }
      }
    } finally {
      deps.observe(seen.verb, seen.resource, code, (performance.now() - started) / 1000);
    }
  };
}

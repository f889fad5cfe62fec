import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Logger } from '../../../lib/log.ts';
import type { Access } from '../auth/access.ts';
import type { KindInfo } from '../kind.ts';
import type { Caller, RegistryDeps, UserInfo } from '../registry/request.ts';
import {
  internalError,
  isApiError,
  notFound,
  pageNotFound,
  tooManyRequests,
  type ApiError,
} from '../status.ts';
import { requestSignal, requestTimeoutMs, warner } from './caller.ts';
import type { Answer, ApiRequest, Exchange } from './exchange.ts';
import { handleResource } from './resource.ts';
import { errorReply, send, sendStream, type Reply } from './respond.ts';
import { resourceRoute, targetOf, verbOf, type ResourceRoute } from './route.ts';

/** Answers a request for paths that name no objects; undefined where it is not its path. */
export type PlainHandler = (
  path: string,
  query: URLSearchParams,
  req: ApiRequest,
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

/** An error as what is answered; what is not one of ours is written to the log. */
export function asApiError(error: unknown, log: Logger, req: ApiRequest): ApiError {
  if (isApiError(error)) return error;
  log.error({ err: error, method: req.method, url: req.url }, 'request failed');
  return internalError(error instanceof Error ? error.message : 'unknown', error);
}

/** What is said of a request in metrics; filled in as it becomes known. */
export interface Seen {
  verb: string;
  resource: string;
}

/** A request, whichever way it came. */
export interface Asked {
  readonly req: ApiRequest;
  /** Until when the answer is wanted; those that stream have no limit. */
  signalFor(endless: boolean): AbortSignal;
  user(signal: AbortSignal): Promise<UserInfo>;
  readonly warn: Caller['warn'];
}

export type Answerer = (asked: Asked, seen: Seen) => Promise<Answer>;

/** Answers one request: who, may they, and then what. Every refusal is an ApiError. */
export function answerer({ registry, access, plain, special }: HandlerDeps): Answerer {
  let inFlight = 0;

  return async ({ req, signalFor, user: userOf, warn }, seen) => {
    const { path, query } = targetOf(req.url ?? '/');
    const route = resourceRoute(path);
    const verb = route ? verbOf(req.method ?? 'GET', route, query) : (req.method ?? 'GET').toLowerCase();
    seen.verb = verb;
    seen.resource = route?.plural ?? '';
    const endless = verb === 'watch' || (route !== undefined && longRunning.has(route.subresource));
    const signal = signalFor(endless);
    if (!endless && inFlight >= maxInFlight)
      throw tooManyRequests('The apiserver has received too many requests, please try again later.', 1);
    if (!endless) inFlight++;
    try {
      const user = await userOf(signal);
      await access.authorize(user, route ? { route, verb, query } : { path, verb }, signal);
      if (!route) {
        for (const handler of plain) {
          const reply = await handler(path, query, req);
          if (reply) return reply;
        }
        throw pageNotFound();
      }
      const kind = await kindOf(registry, route, signal);
      const exchange: Exchange = {
        deps: registry,
        kind,
        route,
        verb,
        query,
        req,
        caller: { user, signal, warn },
      };
      for (const handler of special) {
        const taken = handler(exchange);
        if (taken) return await taken;
      }
      return await handleResource(exchange);
    } finally {
      if (!endless) inFlight--;
    }
  };
}

/** Serves requests of Node's HTTP server. Every failure becomes a Status. */
export function requestHandler({ access, log, observe }: HandlerDeps, answer: Answerer) {
  return async (req: IncomingMessage, res: ServerResponse): Promise<void> => {
    const started = performance.now();
    const seen = { verb: '', resource: '' };
    let code = 200;
    let signal: AbortSignal | undefined;
    const asked: Asked = {
      req,
      signalFor: (endless) => (signal = requestSignal(res, endless ? undefined : requestTimeoutMs)),
      user: async (until) => await access.authenticate(req, until),
      warn: warner(res),
    };
    try {
      const reply = await answer(asked, seen);
      code = reply.code;
      if ('stream' in reply) await sendStream(res, reply, signal ?? asked.signalFor(true));
      else await send(req, res, reply);
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
      observe(seen.verb, seen.resource, code, (performance.now() - started) / 1000);
    }
  };
}

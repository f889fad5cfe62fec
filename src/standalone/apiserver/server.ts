import { randomUUID } from 'node:crypto';
import { setMaxListeners } from 'node:events';
import {
  createServer as createHttpServer,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { systemClock, type Clock } from '../../lib/clock.ts';
import type { Logger } from '../../lib/log.ts';
import { admissionPlugins } from './admission/plugins.ts';
import { adminAccess, type Access } from './auth/access.ts';
import { authenticator } from './auth/authenticate.ts';
import { authorizer } from './auth/authorize.ts';
import { impersonated } from './auth/impersonate.ts';
import { rbac, type Rbac } from './auth/rbac.ts';
import {
  serviceAccountTokens,
  type ServiceAccountTokens,
  type TokenKeys,
} from './auth/service-account-token.ts';
import { bootstrap, type Advertised } from './bootstrap.ts';
import { cleanUpDefinitions } from './crd/cleanup.ts';
import { serveCustomKinds } from './crd/served-kinds.ts';
import { discovery } from './http/discovery.ts';
import { answerer, requestHandler, type Answerer, type HandlerDeps } from './http/handler.ts';
import { health, type HealthCheck } from './http/health.ts';
import { localApi, type LocalApi } from './http/local.ts';
import { apiMetrics } from './http/metrics.ts';
import { openApi } from './http/openapi.ts';
import { upgradeHandler } from './http/upgrade.ts';
import { maintain } from './maintenance.ts';
import { fanOut } from './registry/fan-out.ts';
import { kindTable } from './registry/kind-table.ts';
import type { RegistryDeps, UserInfo } from './registry/request.ts';
import { startWatchCache, type WatchCache } from './registry/watch-cache.ts';
import { builtinKinds } from './schema/builtin-kinds.ts';
import type { Store } from './store/store.ts';
import type { NodeProxy } from './subresource/node-proxy.ts';
import { specialHandler } from './subresource/special.ts';

export interface ListenAddress {
  readonly host: string;
  /** 0 takes a free one. */
  readonly port: number;
}

export interface AuthnOptions {
  /** PEM: signs client certificates. */
  readonly clientCa: string;
  readonly serviceAccount: TokenKeys;
}

export interface ApiServerOptions {
  /** Closed by whoever opened it. */
  readonly store: Store;
  readonly listen: readonly ListenAddress[];
  /** PEM texts of the server's certificate. */
  readonly tls?: { readonly cert: string; readonly key: string } | undefined;
  readonly authn?: AuthnOptions | undefined;
  /** Plain HTTP where everybody is admin, instead of `tls` and `authn`: for tests on loopback. */
  readonly insecureAdmin?: boolean;
  /** The way to nodes for logs, exec, attach and port-forward. */
  readonly nodeProxy?: NodeProxy | undefined;
  /** 10.96.0.0/16 where not said. */
  readonly serviceCidr?: string;
  /** Where pods reach the API; the first listener where not said. */
  readonly advertise?: Advertised | undefined;
  /** Admission plugins to leave out, by name: `ServiceAccount` where no controller makes accounts. */
  readonly withoutAdmission?: readonly string[];
  readonly clock?: Clock;
  readonly random?: () => number;
  readonly log: Logger;
}

export interface ApiServer {
  /** One for each address, in order. */
  readonly urls: readonly string[];
  /** The way in for what runs in this process, as the user given. */
  local(user: UserInfo): LocalApi;
  /** Ends watches and open requests, then listeners. */
  close(): Promise<void>;
}

const defaultServiceCidr = '10.96.0.0/16';

function accessOf(
  options: ApiServerOptions,
  cache: WatchCache,
  roles: Rbac,
  tokens: ServiceAccountTokens | undefined,
): Access {
  if (options.insecureAdmin) return adminAccess;
  if (!options.tls || !tokens)
    throw new Error('a server without TLS and authentication must say insecureAdmin');
  const authenticate = authenticator(tokens, cache);
  return {
    authenticate: async (req, signal) => impersonated(roles, await authenticate(req, signal), req),
    authorize: authorizer(roles, cache),
  };
}

function healthChecks(store: Store, cache: WatchCache): HealthCheck[] {
  return [
    { name: 'ping', check: () => Promise.resolve(undefined) },
    {
      name: 'etcd',
      async check() {
        await store.revision(AbortSignal.timeout(2_000));
        return undefined;
      },
    },
    {
      name: 'informer-sync',
      async check() {
        await cache.fresh(AbortSignal.timeout(2_000));
        return undefined;
      },
    },
  ];
}

function listenOn(server: Server, { host, port }: ListenAddress, scheme: string): Promise<string> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, () => {
      server.off('error', reject);
      resolve(`${scheme}://${host}:${(server.address() as AddressInfo).port}`);
    });
  });
}

function httpServers(options: ApiServerOptions, handlers: HandlerDeps, answer: Answerer): Server[] {
  const { listen, tls, authn, nodeProxy } = options;
  const handle = requestHandler(handlers, answer);
  const upgrade = nodeProxy && upgradeHandler(handlers, nodeProxy);
  return listen.map(() => {
    const listener = (req: IncomingMessage, res: ServerResponse) => void handle(req, res);
    // A client that vanished without a word is found by its silence on the wire.
    const alive = { keepAlive: true, keepAliveInitialDelay: 30_000 };
    const clients = authn ? { ca: authn.clientCa, requestCert: true, rejectUnauthorized: false } : {};
    const server = tls
      ? createHttpsServer({ ...alive, ...tls, ...clients }, listener)
      : createHttpServer(alive, listener);
    if (upgrade) server.on('upgrade', (req, socket, head) => void upgrade(req, socket, head));
    // Watches stay open for an hour; requests have a limit of their own.
    server.requestTimeout = 0;
    server.keepAliveTimeout = 120_000;
    return server;
  });
}

async function closeServer(server: Server): Promise<void> {
  await new Promise<void>((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections();
  });
}

/** Starts the API over a store; resolves when it answers. */
export async function createApiServer(options: ApiServerOptions): Promise<ApiServer> {
  const { store, listen, authn, clock = systemClock, random = Math.random, log } = options;
  const { serviceCidr = defaultServiceCidr } = options;
  const stop = new AbortController();
  // Many calls wait on it at once, each only for a moment.
  setMaxListeners(0, stop.signal);
  const cache = await startWatchCache({ store, clock, log, signal: stop.signal });
  const kinds = kindTable(builtinKinds());
  serveCustomKinds(cache, kinds, log);
  const roles = rbac(cache);
  const tokens = authn && serviceAccountTokens(authn.serviceAccount, cache, () => clock.now());
  const plugins = admissionPlugins({ cache, kinds, clock, random, serviceCidr, rbac: roles });
  const registry: RegistryDeps = {
    store,
    cache,
    kinds,
    fanOut: fanOut(),
    clock,
    log,
    random,
    newUid: randomUUID,
    admission: plugins.filter(({ name }) => !options.withoutAdmission?.includes(name)),
  };
  const discover = discovery(kinds);
  const metrics = apiMetrics(() => cache.revision);
  const handlers: HandlerDeps = {
    registry,
    access: accessOf(options, cache, roles, tokens),
    plain: [
      (path, _query, req) => discover(path, req.headers.accept),
      openApi(kinds),
      health(healthChecks(store, cache), log),
      metrics.handler,
    ],
    special: [specialHandler({ rbac: roles, tokens, nodeProxy: options.nodeProxy })],
    log,
    observe: metrics.observe,
  };
  const answer = answerer(handlers);
  const servers = httpServers(options, handlers, answer);
  const scheme = options.tls ? 'https' : 'http';
  const [first] = listen;
  if (!first) throw new Error('the server has no address to listen on');
  const advertise = options.advertise ?? { host: first.host, port: first.port || 443 };
  await bootstrap(registry, { serviceCidr, advertise }, stop.signal);
  const urls = await Promise.all(servers.map((server, i) => listenOn(server, listen[i] ?? first, scheme)));
  const background = [
    cleanUpDefinitions(registry, log, stop.signal),
    maintain({ store, cache, clock, log }, stop.signal),
  ];
  return {
    urls,
    local: (user) => localApi(handlers, answer, user, stop.signal),
    async close() {
      stop.abort(new Error('the server is closing'));
      await Promise.all(servers.map(closeServer));
      await Promise.allSettled([...background, cache.done]);
    },
  };
}

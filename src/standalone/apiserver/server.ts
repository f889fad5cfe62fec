import { randomUUID } from 'node:crypto';
import { createServer as createHttpServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { systemClock, type Clock } from '../../lib/clock.ts';
import type { Logger } from '../../lib/log.ts';
import { customDefinitions } from './admission/custom-definition.ts';
import { namespaceLifecycle } from './admission/namespace-lifecycle.ts';
import { adminAccess, type Access } from './auth/access.ts';
import { bootstrap } from './bootstrap.ts';
import { serveCustomKinds } from './crd/served-kinds.ts';
import { discovery } from './http/discovery.ts';
import { requestHandler } from './http/handler.ts';
import { kindTable } from './registry/kind-table.ts';
import type { RegistryDeps } from './registry/request.ts';
import { startWatchCache } from './registry/watch-cache.ts';
import { builtinKinds } from './interim/schema/builtin-kinds.ts';
import type { Store } from './store/store.ts';

export interface ListenAddress {
  readonly host: string;
  /** 0 takes a free one. */
  readonly port: number;
}

export interface ApiServerOptions {
  /** Closed by whoever opened it. */
  readonly store: Store;
  readonly listen: readonly ListenAddress[];
  /** PEM texts. Absent only with `insecureAdmin`. */
  readonly tls?: { readonly cert: string; readonly key: string } | undefined;
  /** Plain HTTP where everybody is admin: for tests on loopback. */
  readonly insecureAdmin?: boolean;
  readonly clock?: Clock;
  readonly random?: () => number;
  readonly log: Logger;
}

export interface ApiServer {
  /** One for each address, in order. */
  readonly urls: readonly string[];
  /** Ends watches and open requests, then listeners. */
  close(): Promise<void>;
}

/** Starts the API over a store; resolves when it answers. */
export async function createApiServer(options: ApiServerOptions): Promise<ApiServer> {
  const { store, listen, tls, clock = systemClock, random = Math.random, log } = options;
  const stop = new AbortController();
  const cache = await startWatchCache({ store, clock, log, signal: stop.signal });
  const kinds = kindTable(builtinKinds());
  const registry: RegistryDeps = {
    store,
    cache,
    kinds,
    clock,
    log,
    random,
    newUid: randomUUID,
    admission: [customDefinitions(() => clock.now()), namespaceLifecycle(cache)],
  };
  serveCustomKinds(cache, kinds, log);
  await bootstrap(registry, stop.signal);
  const access: Access = adminAccess;
  const discover = discovery(kinds);
  const handle = requestHandler({
    registry,
    access,
    plain: [
      (path, _query, req) => discover(path, req.headers.accept),
      (path) =>
        path === '/healthz' || path === '/readyz' || path === '/livez'
          ? { code: 200, text: 'ok', contentType: 'text/plain' }
          : path === '/version'
            ? {
                code: 200,
                text: JSON.stringify({ major: '1', minor: '32', gitVersion: 'v1.32.4+holdfast' }),
                contentType: 'application/json',
              }
            : undefined,
    ],
    special: [],
    log,
    observe: () => undefined,
  });
  const listener = (req: IncomingMessage, res: ServerResponse) => void handle(req, res);
  const servers = listen.map(() => (tls ? createHttpsServer(tls, listener) : createHttpServer(listener)));
  const urls = await Promise.all(
    servers.map(
      (server, i) =>
        new Promise<string>((resolve, reject) => {
          const { host, port } = listen[i] as ListenAddress;
          server.once('error', reject);
          server.listen(port, host, () => {
            const bound = (server.address() as AddressInfo).port;
            resolve(`${tls ? 'https' : 'http'}://${host}:${bound}`);
          });
        }),
    ),
  );
  return {
    urls,
    async close() {
      stop.abort(new Error('the server is closing'));
      await Promise.all(
        servers.map(
          (server) =>
            new Promise<void>((resolve) => {
              server.close(() => resolve());
              server.closeAllConnections();
            }),
        ),
      );
      await cache.done;
    },
  };
}

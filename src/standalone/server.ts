import { readFile } from 'node:fs/promises';
import { kubeClientOver } from '../kube/undici-client.ts';
import type { Clock } from '../lib/clock.ts';
import type { Logger } from '../lib/log.ts';
import { authenticatedGroup } from './apiserver/auth/access.ts';
import type { UserInfo } from './apiserver/registry/request.ts';
import { createApiServer } from './apiserver/server.ts';
import { etcdStore } from './apiserver/store/etcd-store.ts';
import { httpsNodeProxy } from './apiserver/subresource/node-proxy.ts';
import type { ServerConfig } from './config.ts';
import { join } from 'node:path';
import { layout } from './layout.ts';
import { localTransport } from './local-transport.ts';
import { keepSupervisor } from './supervisor/keep-supervisor.ts';
import { runControllers } from './controllers/controllers.ts';

export interface ServerDeps {
  readonly clock: Clock;
  readonly log: Logger;
  readonly signal: AbortSignal;
  /** Node's binary and the bundle that this process runs from. */
  readonly node: string;
  readonly bundle: string;
}

/** As a certificate for them would name it: roles say what it may, and nothing here is exempt from them. */
const controllersUser: UserInfo = {
  name: 'system:kube-controller-manager',
  groups: [authenticatedGroup],
};
const issuer = 'https://kubernetes.default.svc';

/** The API server over etcd, and the controllers as its own least favoured client. Runs until the signal aborts. */
export async function runServer(
  config: ServerConfig,
  { clock, log, signal, node, bundle }: ServerDeps,
): Promise<void> {
  const read = (path: string) => readFile(path, 'utf8');
  const { pki, etcd } = config;
  const ca = await read(pki.caCert);
  const store = etcdStore({
    endpoint: etcd.endpoint,
    tls: { ca: await read(etcd.caFile), cert: await read(etcd.certFile), key: await read(etcd.keyFile) },
    clock,
    onBroken: (err, retryInMs) => log.warn({ err, retryInMs }, 'the watch on etcd broke'),
  });
  const server = await createApiServer({
    store,
    listen: config.listen,
    tls: { cert: await read(pki.serverCert), key: await read(pki.serverKey) },
    authn: {
      clientCa: ca,
      serviceAccount: {
        privateKey: await read(pki.serviceAccountKey),
        publicKey: await read(pki.serviceAccountPub),
        issuer,
      },
    },
    nodeProxy: httpsNodeProxy({
      ca,
      cert: await read(pki.kubeletClientCert),
      key: await read(pki.kubeletClientKey),
    }),
    serviceCidr: config.serviceCidr,
    advertise: config.advertise,
    clock,
    log: log.child({ part: 'api' }),
  });
  log.info({ urls: server.urls }, 'the API answers');
  const client = kubeClientOver(localTransport(server.local(controllersUser)), {
    clock,
    fieldManager: 'holdfast-controllers',
  });
  try {
    const places = layout(config.dataDir);
    const supervisor = { node, bundle, logFile: join(places.logs, 'supervisor.log') };
    await Promise.all([
      runControllers({ client, clock, log: log.child({ part: 'controllers' }), signal, rootCa: ca }),
      keepSupervisor(places, supervisor, { clock, log, signal }),
    ]);
  } finally {
    await client.close();
    await server.close();
    await store.close();
  }
}

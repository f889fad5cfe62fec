import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { silentLogger, type Logger } from '../../src/lib/log.ts';
import { createApiServer, type ApiServer } from '../../src/standalone/apiserver/server.ts';
import { memoryStore } from '../../src/standalone/apiserver/store/memory-store.ts';
import type { Store } from '../../src/standalone/apiserver/store/store.ts';
import type { NodeProxy } from '../../src/standalone/apiserver/subresource/node-proxy.ts';
import { ensurePki, issueCertificate, type InstancePki } from '../../src/standalone/pki.ts';

export interface Credentials {
  readonly cert: string;
  readonly key: string;
}

export interface SecureApi {
  readonly url: string;
  /** PEM of the CA that signed the server's certificate. */
  readonly ca: string;
  readonly admin: Credentials;
  /** A client certificate for a user with groups. */
  issue(name: string, groups?: readonly string[]): Promise<Credentials>;
  /** Writes a kubeconfig for a certificate or a token; gives its path. */
  kubeconfig(user: Credentials | { readonly token: string }): Promise<string>;
  /** The way in for what runs in this process. */
  readonly local: ApiServer['local'];
  close(): Promise<void>;
}

/** What an API server proves itself and its callers by. */
export async function serverSecurity(pki: InstancePki) {
  const text = (file: string) => readFile(file, 'utf8');
  const [ca, caKey] = [await text(pki.caCert), await text(pki.caKey)];
  return {
    ca,
    caKey,
    tls: { cert: await text(pki.serverCert), key: await text(pki.serverKey) },
    authn: {
      clientCa: ca,
      serviceAccount: {
        privateKey: await text(pki.serviceAccountKey),
        publicKey: await text(pki.serviceAccountPub),
        issuer: 'https://kubernetes.default.svc',
      },
    },
  };
}

/** The real API server with TLS, certificates, tokens and RBAC, over a store in memory or the given one. */
export async function startSecureApi(
  options: { store?: Store; nodeProxy?: NodeProxy; log?: Logger; withoutAdmission?: readonly string[] } = {},
): Promise<SecureApi> {
  const folder = await mkdtemp(join(tmpdir(), 'holdfast-test-api-'));
  const pki = await ensurePki({ directory: join(folder, 'pki'), apiHosts: ['127.0.0.1'], nowMs: Date.now() });
  const { ca, caKey, tls, authn } = await serverSecurity(pki);
  const store = options.store ?? memoryStore();
  const server = await createApiServer({
    store,
    listen: [{ host: '127.0.0.1', port: 0 }],
    tls,
    authn,
    nodeProxy: options.nodeProxy,
    log: options.log ?? silentLogger,
    ...(options.withoutAdmission ? { withoutAdmission: options.withoutAdmission } : {}),
  });
  const [url = ''] = server.urls;
  let files = 0;
  return {
    url,
    ca,
    admin: { cert: await readFile(pki.adminCert, 'utf8'), key: await readFile(pki.adminKey, 'utf8') },
    async issue(name, groups = []) {
      const request = { commonName: name, organizations: groups, usage: 'client' as const };
      const authority = { certificatePem: ca, privateKeyPem: caKey };
      const leaf = await issueCertificate(authority, request, Date.now());
      return { cert: leaf.certificatePem, key: leaf.privateKeyPem };
    },
    async kubeconfig(user) {
      const base64 = (value: string) => Buffer.from(value).toString('base64');
      const credentials =
        'token' in user
          ? { token: user.token }
          : { 'client-certificate-data': base64(user.cert), 'client-key-data': base64(user.key) };
      const path = join(folder, `kubeconfig${files++}`);
      const config = {
        apiVersion: 'v1',
        kind: 'Config',
        'current-context': 'test',
        clusters: [{ name: 'test', cluster: { server: url, 'certificate-authority-data': base64(ca) } }],
        users: [{ name: 'user', user: credentials }],
        contexts: [{ name: 'test', context: { cluster: 'test', user: 'user' } }],
      };
      await writeFile(path, JSON.stringify(config), { mode: 0o600 });
      return path;
    },
    local: server.local,
    async close() {
      await server.close();
      await store.close();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

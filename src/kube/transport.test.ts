import { createServer, type Server } from 'node:https';
import type { IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { afterEach, expect, test } from 'vitest';
import { Nodes } from '../api/core.ts';
import { createAuthority, issueCertificate } from '../standalone/pki.ts';
import { isUnreachable } from './errors.ts';
import type { KubeTls } from './kubeconfig.ts';
import { createKubeClient } from './undici-client.ts';

const closers: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});
const { signal } = new AbortController();
const instant = { now: () => Date.now(), sleep: async () => undefined };

async function serve() {
  const authority = await createAuthority('test', Date.now());
  const issue = (commonName: string, usage: 'server' | 'client', hosts: readonly string[] = []) =>
    issueCertificate(authority, { commonName, usage, hosts }, Date.now());
  const own = await issue('api', 'server', ['api.internal']);
  const seen: string[] = [];
  const server: Server = createServer(
    {
      cert: own.certificatePem,
      key: own.privateKeyPem,
      ca: authority.certificatePem,
      requestCert: true,
      rejectUnauthorized: false, // As an API server: a caller without a certificate may have a token.
    },
    (request: IncomingMessage, response) => {
      const certificate = (request.socket as TLSSocket).getPeerCertificate();
      const name = certificate.subject?.CN as string | undefined;
      seen.push(name ?? request.headers.authorization ?? 'nobody');
      response.end(JSON.stringify({ metadata: { name: 'n1', uid: 'u', resourceVersion: '1' } }));
    },
  );
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  closers.push(async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });
  const url = `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const client = (tls: KubeTls, token?: string) => {
    const made = createKubeClient(
      { url, tls, ...(token ? { token: async () => token } : {}) },
      { clock: instant },
    );
    closers.push(() => made.close());
    return made;
  };
  return { authority, issue, seen, client };
}
const n1 = { name: 'n1' };

test('the server is known by its CA and name, and we by our certificate or token', async () => {
  const { authority, issue, seen, client } = await serve();
  const { certificatePem: cert, privateKeyPem: key } = await issue('operator', 'client');
  const tls = { ca: authority.certificatePem, serverName: 'api.internal' };
  await client({ ...tls, cert, key }).get(Nodes, n1, { signal });
  await client(tls, 'secret').get(Nodes, n1, { signal });
  expect(seen).toEqual(['operator', 'Bearer secret']);
});

test('a server of another CA, or of another name, gets nothing of us, and no error holds the token', async () => {
  const { authority, seen, client } = await serve();
  const other = await createAuthority('other', Date.now());
  for (const tls of [
    { ca: other.certificatePem, serverName: 'api.internal' },
    { ca: authority.certificatePem, serverName: 'api.elsewhere' },
  ]) {
    const error: unknown = await client(tls, 'secret')
      .get(Nodes, n1, { signal })
      .catch((caught: unknown) => caught);
    expect(isUnreachable(error)).toBe(true);
    expect(`${String(error)} ${JSON.stringify(error)} ${String((error as Error).cause)}`).not.toContain(
      'secret',
    );
  }
  expect(seen).toEqual([]);
});

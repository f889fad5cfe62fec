import { X509Certificate } from 'node:crypto';
import { mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { createServer, request } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import type { TLSSocket } from 'node:tls';
import { join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { ensurePki } from './pki.ts';

const folders: string[] = [];
afterEach(async () => {
  for (const folder of folders.splice(0)) await rm(folder, { recursive: true });
});
const make = async () => {
  const directory = await mkdtemp(join(tmpdir(), 'pki-'));
  folders.push(directory);
  return { directory, apiHosts: ['127.0.0.1', 'kubernetes.default'], nowMs: Date.now() };
};

test('a client certificate opens a server that asks for one, and carries user and groups', async () => {
  const pki = await ensurePki(await make());
  const read = (path: string) => readFile(path);
  const ca = await read(pki.caCert);
  const server = createServer(
    {
      ca,
      cert: await read(pki.serverCert),
      key: await read(pki.serverKey),
      requestCert: true,
      rejectUnauthorized: true,
    },
    (message, answer) => {
      const peer = (message.socket as TLSSocket).getPeerCertificate();
      answer.end([peer.subject.CN, peer.subject.O].join(' '));
    },
  );
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const port = (server.address() as AddressInfo).port;
  const options = {
    host: '127.0.0.1',
    port,
    ca,
    cert: await read(pki.adminCert),
    key: await read(pki.adminKey),
  };
  const body = await new Promise<string>((resolve, reject) => {
    request(options, (answer) => answer.on('data', (chunk) => resolve(String(chunk))))
      .on('error', reject)
      .end();
  });
  server.close();
  expect(body).toBe('kubernetes-admin system:masters');
});

test('a second run keeps every key, and private keys are for root alone', async () => {
  const where = await make();
  const first = await ensurePki(where);
  const before = await readFile(first.adminCert, 'utf8');
  const second = await ensurePki(where);
  expect(await readFile(second.adminCert, 'utf8')).toBe(before);
  expect((await stat(second.adminKey)).mode & 0o777).toBe(0o600);
  expect(new X509Certificate(before).checkIssued(new X509Certificate(await readFile(first.caCert)))).toBe(
    true,
  );
});

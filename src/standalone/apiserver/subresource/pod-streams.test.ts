import type { IncomingMessage } from 'node:http';
import { createServer, request, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import type { TLSSocket } from 'node:tls';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { createAuthority, issueCertificate } from '../../pki.ts';
import { startSecureApi, type SecureApi } from '../../../../test/support/secure-api.ts';
import { httpsNodeProxy } from './node-proxy.ts';

let api: SecureApi;
let node: Server;
let seen: { method: string; url: string; caller: string }[] = [];
let onStream: (socket: Duplex, req: IncomingMessage) => void;

// A kubelet as the API server sees one: HTTPS that asks for a certificate, logs, and upgrades.
async function fakeNode(ca: string, cert: string, key: string): Promise<Server> {
  const note = (req: IncomingMessage) =>
    seen.push({
      method: req.method ?? '',
      url: req.url ?? '',
      caller: String((req.socket as TLSSocket).getPeerCertificate().subject.CN),
    });
  const server = createServer({ ca, cert, key, requestCert: true, rejectUnauthorized: true }, (req, res) => {
    note(req);
    if (req.url?.includes('/broken?'))
      return void res.writeHead(400).end('container "broken" in pod "p" is waiting to start\n');
    res.writeHead(200, { 'content-type': 'text/plain' });
    res.write('line 1\n');
    setImmediate(() => res.end('line 2\n'));
  });
  server.on('upgrade', (req: IncomingMessage, socket: Duplex) => {
    note(req);
    onStream(socket, req);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return server;
}

const as = (method: string, path: string, headers: Record<string, string> = {}, body?: unknown) =>
  request(api.url + path, {
    method,
    ca: api.ca,
    agent: false,
    cert: api.admin.cert,
    key: api.admin.key,
    headers: { 'content-type': 'application/json', ...headers },
    ...(body === undefined ? {} : {}),
  });

const answerOf = (method: string, path: string, body?: unknown) =>
  new Promise<{ code: number; text: string }>((resolve, reject) => {
    const call = as(method, path);
    call.on('response', (answer) => {
      let text = '';
      answer.on('data', (chunk: Buffer) => (text += chunk.toString()));
      answer.on('end', () => resolve({ code: answer.statusCode ?? 0, text }));
    });
    call.on('error', reject);
    call.end(body === undefined ? undefined : JSON.stringify(body));
  });

const spdy = { connection: 'Upgrade', upgrade: 'SPDY/3.1', 'x-stream-protocol-version': 'v4.channel.k8s.io' };

function upgraded(path: string, method = 'POST'): Promise<{ socket?: Duplex; status: number; text: string }> {
  return new Promise((resolve, reject) => {
    const call = as(method, path, spdy);
    call.on('upgrade', (answer, socket) => resolve({ socket, status: answer.statusCode ?? 0, text: '' }));
    call.on('response', (answer) => {
      let text = '';
      answer.on('data', (chunk: Buffer) => (text += chunk.toString()));
      answer.on('end', () => resolve({ status: answer.statusCode ?? 0, text }));
    });
    call.on('error', reject);
    call.end();
  });
}

beforeAll(async () => {
  const authority = await createAuthority('nodes', Date.now());
  const leaf = (commonName: string, hosts: string[]) =>
    issueCertificate(authority, { commonName, hosts, usage: 'both' }, Date.now());
  const [server, client] = [
    await leaf('node', ['127.0.0.1']),
    await leaf('kube-apiserver-kubelet-client', []),
  ];
  const ca = authority.certificatePem;
  node = await fakeNode(ca, server.certificatePem, server.privateKeyPem);
  const nodeProxy = httpsNodeProxy({ ca, cert: client.certificatePem, key: client.privateKeyPem });
  api = await startSecureApi({ nodeProxy, withoutAdmission: ['ServiceAccount'] });
  const kubeletEndpoint = { Port: (node.address() as AddressInfo).port };
  const status = {
    addresses: [{ type: 'InternalIP', address: '127.0.0.1' }],
    daemonEndpoints: { kubeletEndpoint },
  };
  await answerOf('POST', '/api/v1/nodes', { metadata: { name: 'n1' } });
  await answerOf('PUT', '/api/v1/nodes/n1/status', { metadata: { name: 'n1' }, status });
  const containers = ['a', 'broken'].map((name) => ({ name, image: 'i' }));
  await answerOf('POST', '/api/v1/namespaces/default/pods', {
    metadata: { name: 'p' },
    spec: { nodeName: 'n1', containers },
  });
  await answerOf('POST', '/api/v1/namespaces/default/pods', {
    metadata: { name: 'nowhere' },
    spec: { containers },
  });
});
afterAll(async () => {
  await api.close();
  node.closeAllConnections();
  await new Promise((resolve) => node.close(resolve));
});
beforeEach(() => {
  seen = [];
});
const pods = '/api/v1/namespaces/default/pods';

describe('logs', () => {
  test('come from the node, asked with our certificate and only with known options', async () => {
    const answer = await answerOf('GET', `${pods}/p/log?container=a&follow=true&tailLines=5&pretty=true`);
    expect(answer).toEqual({ code: 200, text: 'line 1\nline 2\n' });
    expect(seen).toEqual([
      {
        method: 'GET',
        url: '/containerLogs/default/p/a?follow=true&tailLines=5',
        caller: 'kube-apiserver-kubelet-client',
      },
    ]);
  });

  test('of what cannot have any say why', async () => {
    const text = async (path: string) => {
      const answer = await answerOf('GET', `${pods}/${path}`);
      return [answer.code, (JSON.parse(answer.text) as { message: string }).message];
    };
    expect(await text('p/log')).toEqual([
      400,
      'a container name must be specified for pod p, choose one of: [a broken]',
    ]);
    expect(await text('p/log?container=x')).toEqual([400, 'container x is not valid for pod p']);
    expect(await text('nowhere/log?container=a')).toEqual([400, 'pod nowhere does not have a host assigned']);
    expect(await text('none/log')).toEqual([404, 'pods "none" not found']);
    expect(await text('p/log?container=broken')).toEqual([
      400,
      'container "broken" in pod "p" is waiting to start',
    ]);
    expect((await text('p/log?container=a&tailLines=-1'))[0]).toBe(400);
  });
});

describe('exec', () => {
  test('joins the client and the node: bytes go both ways, and the end of one ends the other', async () => {
    onStream = (socket) => {
      socket.write(
        'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\nhello ',
      );
      socket.on('data', (chunk: Buffer) => {
        socket.write(chunk.toString().toUpperCase());
        socket.end();
      });
    };
    const { socket, status } = await upgraded(
      `${pods}/p/exec?container=a&command=sh&command=-c&command=a%20b&stdin=true&stdout=true&tty=false`,
    );
    expect(status).toBe(101);
    let text = '';
    socket?.on('data', (chunk: Buffer) => (text += chunk.toString()));
    await expect.poll(() => text).toBe('hello ');
    const ended = new Promise((resolve) => socket?.once('close', resolve));
    socket?.write('world');
    await ended;
    expect(text).toBe('hello WORLD');
    expect(seen[0]).toMatchObject({
      method: 'POST',
      url: '/exec/default/p/a?input=1&output=1&command=sh&command=-c&command=a+b',
    });
  });

  test('carries 8 MB whole', async () => {
    const size = 8_000_000;
    onStream = (socket) => {
      socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\n');
      socket.end(Buffer.alloc(size, 'x'));
    };
    const { socket } = await upgraded(`${pods}/p/exec?container=a&command=cat&stdout=true`);
    let bytes = 0;
    socket?.on('data', (chunk: Buffer) => (bytes += chunk.length));
    await new Promise((resolve) => socket?.once('close', resolve));
    expect(bytes).toBe(size);
  });

  test('a node that refuses is passed on, so that clients try their next protocol', async () => {
    onStream = (socket) => void socket.end('HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno');
    expect(await upgraded(`${pods}/p/exec?container=a&command=x&stdout=true`)).toMatchObject({
      status: 403,
      text: 'no',
    });
  });

  test('bad requests get a Status before any node is asked', async () => {
    const refused = async (path: string) => {
      const { status, text } = await upgraded(`${pods}/${path}`);
      return [status, (JSON.parse(text) as { reason: string }).reason];
    };
    expect(await refused('p/exec?container=a&stdout=true')).toEqual([400, 'BadRequest']);
    expect(await refused('p/exec?container=a&command=x')).toEqual([400, 'BadRequest']);
    expect(await refused('none/exec?command=x&stdout=true')).toEqual([404, 'NotFound']);
    expect(await refused('p/status')).toEqual([400, 'BadRequest']);
    expect(seen).toEqual([]);
    expect((await answerOf('POST', `${pods}/p/exec?container=a&command=x&stdout=true`)).code).toBe(400);
  });
});

test('port-forward asks for the ports', async () => {
  onStream = (socket) =>
    void socket.end('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\n');
  const { socket } = await upgraded(`${pods}/p/portforward?ports=80,443`);
  socket?.destroy();
  expect(seen[0]?.url).toBe('/portForward/default/p?port=80&port=443');
});

test('a node that is not there is an error with its name, not a hang', async () => {
  await answerOf('POST', '/api/v1/nodes', { metadata: { name: 'n2' } });
  const status = {
    addresses: [{ type: 'InternalIP', address: '127.0.0.1' }],
    daemonEndpoints: { kubeletEndpoint: { Port: 1 } },
  };
  await answerOf('PUT', '/api/v1/nodes/n2/status', { metadata: { name: 'n2' }, status });
  await answerOf('POST', pods, {
    metadata: { name: 'lost' },
    spec: { nodeName: 'n2', containers: [{ name: 'c', image: 'i' }] },
  });
  const answer = await answerOf('GET', `${pods}/lost/log`);
  expect(answer.code).toBe(500);
  expect(answer.text).toContain('node n2 cannot be reached');
});

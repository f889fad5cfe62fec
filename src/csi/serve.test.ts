import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as grpc from '@grpc/grpc-js';
import { afterEach, beforeEach, expect, onTestFinished, test } from 'vitest';
import { Identity } from '../gen/csi/v1/csi_pb.js';
import { addService, unaryClient } from '../lib/grpc.ts';
import { rpcFailure } from './rpc-failure.ts';
import { serveOnSocket, socketPath } from './serve.ts';

let folder: string;
let path: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'serve-'));
  path = join(folder, 'csi/csi.sock');
});
afterEach(() => rm(folder, { recursive: true }));

/** A process that serves on the path; `body` answers its calls. */
function startProcess(name: string, body: () => Promise<unknown> = () => Promise.resolve()) {
  const stop = new AbortController();
  const server = new grpc.Server();
  const getPluginInfo = async () => {
    await body();
    return { name };
  };
  addService(server, Identity, { getPluginInfo }, rpcFailure);
  const ended = serveOnSocket(server, path, stop.signal);
  const end = async () => {
    stop.abort();
    await ended;
  };
  onTestFinished(end);
  return { stop, end };
}
function nameOfServer(): Promise<string> {
  const channel = new grpc.Client(`unix:${path}`, grpc.credentials.createInsecure());
  onTestFinished(() => channel.close());
  const options = { signal: new AbortController().signal, timeoutMs: 15_000 };
  return unaryClient(channel, Identity)
    .getPluginInfo({}, options)
    .then(({ name }) => name);
}
const isThere = async (there: boolean) =>
  await expect
    .poll(() =>
      stat(path).then(
        () => true,
        () => false,
      ),
    )
    .toBe(there);

test('serves until it is told to end, and takes its socket along', async () => {
  const only = startProcess('only');
  await isThere(true);
  expect(await nameOfServer()).toBe('only');
  await only.end();
  await isThere(false);
});

test('one that ends slowly leaves the socket of its successor', async () => {
  let release: () => void = () => undefined;
  let isAsked = false;
  const first = startProcess('first', () => {
    isAsked = true;
    return new Promise<void>((resolve) => (release = resolve));
  });
  await isThere(true);
  const asked = nameOfServer();
  await expect.poll(() => isAsked).toBe(true);
  first.stop.abort();
  await isThere(false);
  startProcess('second');
  await isThere(true);
  release();
  expect(await asked).toBe('first');
  await first.end();
  expect(await nameOfServer()).toBe('second');
});

test('an endpoint that is no unix socket is refused with what would be one', () => {
  expect(socketPath('unix:///csi/csi.sock')).toBe('/csi/csi.sock');
  expect(() => socketPath('tcp://1.2.3.4:5')).toThrow('give a unix socket, as unix:///csi/csi.sock');
});

import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type RequestListener } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { Code } from '../../lib/grpc.ts';
import { mounterClient } from './client.ts';

const { signal } = new AbortController();

async function mounterAnswering(listener: RequestListener) {
  const folder = await mkdtemp(join(tmpdir(), 'mounter-'));
  const socket = join(folder, 'm.sock');
  const server = createServer(listener);
  await new Promise<void>((resolve) => server.listen(socket, resolve));
  onTestFinished(async () => {
    server.closeAllConnections();
    server.close();
    await rm(folder, { recursive: true });
  });
  return mounterClient(socket);
}

test.each([
  [200, 'not json', Code.INTERNAL, 'the mounter answered: not json'],
  [500, 'not json', Code.INTERNAL, 'the mounter answered: not json'],
  [500, '{"error":1}', Code.INTERNAL, 'the mounter answered: {"error":1}'],
  [500, '{"error":"no image","code":"failed"}', Code.INTERNAL, 'no image'],
  [409, '{"error":"in use","code":"busy"}', Code.FAILED_PRECONDITION, 'in use'],
])('the answer %s %s is an RpcError', async (status, text, code, message) => {
  const mounter = await mounterAnswering((_, answer) => void answer.writeHead(status).end(text));
  await expect(mounter.list(signal)).rejects.toMatchObject({ name: 'RpcError', code, message });
});

test('an answer that breaks off is that of a mounter that went away', async () => {
  const mounter = await mounterAnswering((_, answer) => {
    answer.writeHead(200, { 'content-length': 100 });
    answer.write('[', () => answer.destroy());
  });
  const told = { code: Code.UNAVAILABLE, message: expect.stringContaining('holdfast-mounter') as string };
  await expect(mounter.list(signal)).rejects.toMatchObject(told);
});

test('the reason of an abort is the caller’s own', async () => {
  const mounter = await mounterAnswering(() => undefined);
  const stop = new AbortController();
  const asked = mounter.list(stop.signal);
  stop.abort(new Error('the pod is gone'));
  await expect(asked).rejects.toThrow('the pod is gone');
});

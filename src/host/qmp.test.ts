import { getEventListeners } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { connectQmp } from './qmp.ts';

const { signal } = new AbortController();
const greeting = '{"QMP":{"version":{}}}\n';

/** A daemon that greets, and answers each command by what `reply` makes of it. */
async function daemon(reply: (command: string, id: number) => string, first = greeting): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'qmp-'));
  const open = new Set<Socket>();
  const server = createServer((socket) => {
    open.add(socket);
    socket.on('error', () => undefined);
    socket.on('data', (data) => {
      for (const line of data.toString().trim().split('\n')) {
        const { execute, id } = JSON.parse(line) as { execute: string; id: number };
        socket.write(execute === 'qmp_capabilities' ? `{"return":{},"id":${id}}\n` : reply(execute, id));
      }
    });
    socket.write(first);
  });
  const path = join(folder, 'qmp');
  await new Promise<void>((resolve) => server.listen(path, resolve));
  onTestFinished(async () => {
    for (const socket of open) socket.destroy();
    server.close();
    await rm(folder, { recursive: true });
  });
  return path;
}

test('an answer belongs to its command, whatever comes in between and however it is cut', async () => {
  const path = await daemon(
    (command, id) => `{"event":"X"}\n\n{"return":"of ${command}","id":${id}}\n{"return":"late","id":99}\n`,
  );
  const qmp = await connectQmp(path, signal);
  expect(await Promise.all([qmp.execute('a'), qmp.execute('b')])).toEqual(['of a', 'of b']);
  qmp.close();
});

test('a refusal is an error with its class', async () => {
  const path = await daemon((_, id) => `{"error":{"class":"GenericError","desc":"no node"},"id":${id}}\n`);
  const qmp = await connectQmp(path, signal);
  await expect(qmp.execute('block_resize')).rejects.toMatchObject({
    code: 'QMP_ERROR',
    errorClass: 'GenericError',
    message: 'block_resize: GenericError: no node',
  });
  qmp.close();
});

test('what is no JSON fails the conversation, and no more than that', async () => {
  await expect(connectQmp(await daemon(() => '', 'hello\n'), signal)).rejects.toThrow('no JSON');
  const qmp = await connectQmp(await daemon(() => 'hello\n'), signal);
  await expect(qmp.execute('query-status')).rejects.toThrow('no JSON');
});

test('an abort fails it with its reason, and nobody there with the error of that', async () => {
  const path = await daemon(() => '');
  const stop = new AbortController();
  const qmp = await connectQmp(path, stop.signal);
  const waiting = qmp.execute('quit');
  stop.abort(new Error('given up'));
  await expect(waiting).rejects.toThrow('given up');
  await expect(connectQmp(`${path}-none`, signal)).rejects.toThrow('ENOENT');
});

test('a conversation that is over leaves nothing on a signal that lives on', async () => {
  const stop = new AbortController();
  const qmp = await connectQmp(await daemon(() => ''), stop.signal);
  expect(getEventListeners(stop.signal, 'abort')).toHaveLength(1);
  qmp.close();
  await expect.poll(() => getEventListeners(stop.signal, 'abort')).toEqual([]);
});

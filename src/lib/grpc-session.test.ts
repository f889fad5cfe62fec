import { once, setMaxListeners } from 'node:events';
import { createServer, type AddressInfo } from 'node:net';
import * as grpc from '@grpc/grpc-js';
import { afterEach, expect, test } from 'vitest';
import { KV } from '../gen/etcd/rpc_pb.js';
import { isDeadlineError } from './deadline.ts';
import { grpcSession, sessionClient, type GrpcSession } from './grpc-session.ts';
import { addService, Code, isRpcError, RpcError, type UnaryHandlers } from './grpc.ts';

const bytes = (text: string) => new Uint8Array(Buffer.from(text));
const closers: (() => void)[] = [];
afterEach(() => {
  for (const close of closers.splice(0)) close();
});

type Handlers = Partial<UnaryHandlers<typeof KV.method>>;

/** A real gRPC server; `port` to come back where it was. */
async function serve(handlers: Handlers, port = 0): Promise<{ port: number; end(): void }> {
  const server = new grpc.Server();
  addService(
    server,
    KV,
    handlers,
    (method, error) => new RpcError(Code.INTERNAL, `${method}: ${String(error)}`),
  );
  const bound = await new Promise<number>((resolve, reject) => {
    server.bindAsync(`127.0.0.1:${port}`, grpc.ServerCredentials.createInsecure(), (error, at) =>
      error ? reject(error) : resolve(at),
    );
  });
  const end = () => server.forceShutdown();
  closers.push(end);
  return { port: bound, end };
}

function clientOn(port: number) {
  const session: GrpcSession = grpcSession({ url: `http://127.0.0.1:${port}` });
  closers.push(() => session.close());
  return { session, kv: sessionClient(session, KV) };
}

const options = { signal: new AbortController().signal, timeoutMs: 15_000 };
setMaxListeners(0, options.signal); // Shared by all calls at once.
const failure = async (call: Promise<unknown>): Promise<unknown> =>
  await call.then(
    () => expect.fail('the call was served'),
    (error: unknown) => error,
  );

test('serves many calls at once, large ones among them', async () => {
  const big = 'x'.repeat(3_000_000);
  const { port } = await serve({
    async range({ key }) {
      const value = Buffer.from(key).toString() === 'big' ? big : `value of ${Buffer.from(key).toString()}`;
      return await Promise.resolve({ kvs: [{ key, value: bytes(value) }] });
    },
  });
  const { kv } = clientOn(port);
  const keys = ['big', ...Array.from({ length: 50 }, (_, i) => `k${i}`), 'big'];
  const answers = await Promise.all(keys.map((key) => kv.range({ key: bytes(key) }, options)));
  const values = answers.map(({ kvs }) => Buffer.from(kvs[0]?.value ?? []).toString());
  expect(values[0] === big && values.at(-1) === big).toBe(true);
  expect(values[7]).toBe('value of k6');
});

test('a refusal has the server’s code and words', async () => {
  const { port } = await serve({
    put: () => Promise.reject(new RpcError(Code.RESOURCE_EXHAUSTED, 'no room: 100 % – füll')),
  });
  const { kv } = clientOn(port);
  const error = await failure(kv.put({ key: bytes('a') }, options));
  expect(isRpcError(error, Code.RESOURCE_EXHAUSTED)).toBe(true);
  expect((error as Error).message).toBe('no room: 100 % – füll');
  expect(isRpcError(await failure(kv.compact({}, options)), Code.UNIMPLEMENTED)).toBe(true);
});

test('gives up by the signal and by the limit, and tells the server; others on the session go on', async () => {
  const gone: Promise<unknown>[] = [];
  let asked = () => undefined as void;
  const { port } = await serve({
    async range({ key }, { signal }) {
      if (key.length === 0) return {};
      gone.push(once(signal, 'abort'));
      asked();
      return await new Promise(() => undefined);
    },
  });
  const { kv } = clientOn(port);
  const stop = new AbortController();
  const reason = new Error('no longer wanted');
  const reached = new Promise<void>((resolve) => (asked = resolve));
  const first = failure(kv.range({ key: bytes('hangs') }, { ...options, signal: stop.signal }));
  await reached;
  stop.abort(reason);
  expect(await first).toBe(reason);
  expect(
    isDeadlineError(await failure(kv.range({ key: bytes('hangs') }, { ...options, timeoutMs: 30 }))),
  ).toBe(true);
  await Promise.all(gone);
  expect((await kv.range({}, options)).kvs).toEqual([]);
  expect(await failure(kv.range({}, { ...options, signal: stop.signal }))).toBe(reason);
});

test('a call that broke is UNAVAILABLE, and the next one after the server is back is served', async () => {
  const hangs: Handlers = { range: () => new Promise(() => undefined) };
  const before = await serve(hangs);
  const { kv } = clientOn(before.port);
  const pending = failure(kv.range({}, options));
  await failure(kv.put({}, options));
  before.end();
  expect(isRpcError(await pending, Code.UNAVAILABLE)).toBe(true);
  expect(isRpcError(await failure(kv.range({}, options)), Code.UNAVAILABLE)).toBe(true);
  await serve({ range: () => Promise.resolve({ count: 7n }) }, before.port);
  expect((await kv.range({}, options)).count).toBe(7n);
});

test('what is no gRPC server is UNAVAILABLE, not an answer', async () => {
  const server = createServer((socket) => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n'));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  closers.push(() => server.close());
  const { kv } = clientOn((server.address() as AddressInfo).port);
  expect(isRpcError(await failure(kv.range({}, options)), Code.UNAVAILABLE)).toBe(true);
});

test('calls on a closed session end, and so does the session', async () => {
  const { port } = await serve({ range: () => new Promise(() => undefined) });
  const { kv, session } = clientOn(port);
  const pending = failure(kv.range({}, options));
  session.close();
  expect(isRpcError(await pending, Code.UNAVAILABLE)).toBe(true);
});

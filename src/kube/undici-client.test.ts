import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, expect, test } from 'vitest';
import { ConfigMaps, Pods } from '../api/core.ts';
import { isDeadlineError } from '../lib/deadline.ts';
import type { KubeClient } from './client.ts';
import { isConflict, isExpired, isInvalid, isNotFound, isUnreachable, type KubeError } from './errors.ts';
import { createKubeClient } from './undici-client.ts';

type Handler = (request: IncomingMessage & { text: string }, response: ServerResponse) => void;

const closers: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

const signal = new AbortController().signal;
const instant = { now: () => Date.now(), sleep: async () => undefined };

/** A client against a server that answers by `handler`, and what was asked. */
async function serve(handler: Handler, path = '', token?: () => Promise<string>) {
  const asked: string[] = [];
  const server = createServer((request, response) => {
    let text = '';
    request.on('data', (chunk: Buffer) => (text += chunk.toString()));
    request.on('end', () => {
      asked.push(`${request.method} ${request.url}`);
      handler(Object.assign(request, { text }), response);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}${path}`;
  const client: KubeClient = createKubeClient({ url, ...(token ? { token } : {}) }, { clock: instant });
  closers.push(
    () => client.close(),
    async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  );
  return { client, asked };
}

const json = (response: ServerResponse, status: number, body: unknown, headers = {}) => {
  response.writeHead(status, { 'content-type': 'application/json', ...headers });
  response.end(JSON.stringify(body));
};
const refusal = (reason: string, code: number, details = {}) => ({
  kind: 'Status',
  status: 'Failure',
  reason,
  code,
  message: reason,
  details,
});
const pod = (name: string, resourceVersion = '1') => ({
  metadata: { name, namespace: 'x', uid: `u-${name}`, resourceVersion },
});

test('an absent object is undefined, and a listed one has its kind', async () => {
  const { client } = await serve((request, response) => {
    if (request.url?.includes('/pods/')) return json(response, 404, refusal('NotFound', 404));
    json(response, 200, { metadata: { resourceVersion: '7' }, items: [pod('a')] });
  });
  expect(await client.get(Pods, { namespace: 'x', name: 'gone' }, { signal })).toBeUndefined();
  const listing = await client.list(Pods, {}, { signal });
  expect(listing).toMatchObject({ resourceVersion: '7', items: [{ kind: 'Pod', apiVersion: 'v1' }] });
});

test('a list goes over its pages, and starts anew where a page has expired', async () => {
  let expiries = 1;
  const { client, asked } = await serve((request, response) => {
    const token = new URL(request.url ?? '', 'http://x').searchParams.get('continue');
    if (token && expiries-- > 0) return json(response, 410, refusal('Expired', 410));
    json(response, 200, {
      metadata: { resourceVersion: '9', ...(token ? {} : { continue: 'two' }) },
      items: [pod(token ? 'b' : 'a')],
    });
  });
  const { items } = await client.list(Pods, { namespace: 'x', labelSelector: 'a=b' }, { signal });
  expect(items.map((one) => one.metadata.name)).toEqual(['a', 'b']);
  expect(asked).toHaveLength(4);
  expect(asked[0]).toBe('GET /api/v1/namespaces/x/pods?labelSelector=a%3Db&limit=500');
});

test('a read is tried again after 500, and any call after 429', async () => {
  let failures = 2;
  const { client, asked } = await serve((request, response) => {
    if (failures-- > 0) {
      if (request.method === 'GET') return json(response, 500, refusal('InternalError', 500));
      return json(response, 429, refusal('TooManyRequests', 429), { 'retry-after': '1' });
    }
    json(response, 200, pod('a'));
  });
  await client.get(Pods, { namespace: 'x', name: 'a' }, { signal });
  expect(asked).toHaveLength(3);
  failures = 1;
  await client.create(Pods, pod('a'), { signal });
  expect(asked).toHaveLength(5);
});

test('a create whose answer was lost is not sent again', async () => {
  const { client, asked } = await serve((request) => request.socket.destroy());
  const error: unknown = await client.create(Pods, pod('a'), { signal }).catch((caught: unknown) => caught);
  expect(isUnreachable(error)).toBe(true);
  expect(asked).toHaveLength(1);
});

test('refusals keep reason and causes', async () => {
  const causes = [{ reason: 'FieldValueInvalid', field: 'spec.x', message: 'no' }];
  const { client } = await serve((request, response) => {
    if (request.method === 'PUT') return json(response, 409, refusal('Conflict', 409));
    json(response, 422, refusal('Invalid', 422, { causes }));
  });
  const refused = (call: Promise<unknown>) =>
    call.then(
      () => undefined,
      (caught: unknown) => caught,
    );
  const conflict = await refused(client.update(Pods, pod('a'), { signal }));
  expect([isConflict(conflict), isNotFound(conflict)]).toEqual([true, false]);
  const invalid = await refused(client.create(Pods, pod('a'), { signal }));
  expect(isInvalid(invalid)).toBe(true);
  expect((invalid as KubeError).causes).toEqual(causes);
});

test('a call past its limit is a deadline error, an aborted one the reason of its signal', async () => {
  const { client } = await serve(() => undefined);
  const ref = { namespace: 'x', name: 'a' };
  const late: unknown = await client
    .get(Pods, ref, { signal, timeoutMs: 20 })
    .catch((caught: unknown) => caught);
  expect(isDeadlineError(late)).toBe(true);
  const own = new AbortController();
  const call = client.get(Pods, ref, { signal: own.signal });
  own.abort(new Error('enough'));
  await expect(call).rejects.toThrow('enough');
});

test('patches and apply carry their content types, and writes their query', async () => {
  const seen: (string | undefined)[] = [];
  const { client, asked } = await serve((request, response) => {
    seen.push(request.headers['content-type']);
    json(response, 200, pod('a'));
  }, '/prefix');
  const ref = { namespace: 'x', name: 'a' };
  await client.patch(Pods, ref, { type: 'merge', body: {} }, { signal, subresource: 'status' });
  await client.patch(Pods, ref, { type: 'json', operations: [] }, { signal, dryRun: true });
  await client.apply(ConfigMaps, pod('a'), { signal, fieldManager: 'me' });
  expect(seen).toEqual([
    'application/merge-patch+json',
    'application/json-patch+json',
    'application/apply-patch+yaml',
  ]);
  expect(asked[0]).toBe('PATCH /prefix/api/v1/namespaces/x/pods/a/status?fieldManager=holdfast');
  expect(asked[1]).toContain('dryRun=All');
  expect(asked[2]).toBe('PATCH /prefix/api/v1/namespaces/x/configmaps/a?fieldManager=me&force=true');
});

test('a delete sends its preconditions, and an absent object is no error', async () => {
  const bodies: unknown[] = [];
  const { client } = await serve((request, response) => {
    bodies.push(JSON.parse(request.text));
    json(response, 404, refusal('NotFound', 404));
  });
  const gone = await client.delete(
    Pods,
    { namespace: 'x', name: 'a' },
    { signal, uid: 'u', propagationPolicy: 'Foreground', gracePeriodSeconds: 0 },
  );
  expect(gone).toBe(false);
  expect(bodies[0]).toMatchObject({
    preconditions: { uid: 'u' },
    propagationPolicy: 'Foreground',
    gracePeriodSeconds: 0,
  });
});

test('a watch gives events across broken chunks, bookmarks, and 410 as an error', async () => {
  const { client } = await serve((_request, response) => {
    response.writeHead(200);
    const text = [
      { type: 'ADDED', object: pod('a', '5') },
      { type: 'BOOKMARK', object: { metadata: { resourceVersion: '6' } } },
      { type: 'ERROR', object: refusal('Expired', 410) },
    ]
      .map((event) => `${JSON.stringify(event)}\n`)
      .join('');
    response.write(text.slice(0, 30));
    setImmediate(() => response.end(text.slice(30)));
  });
  const events: unknown[] = [];
  let failure: unknown;
  try {
    for await (const event of client.watchOnce(Pods, { resourceVersion: '4' }, { signal }))
      events.push(event);
  } catch (error) {
    failure = error;
  }
  expect(events).toMatchObject([
    { type: 'ADDED', object: { kind: 'Pod', metadata: { name: 'a' } } },
    { type: 'BOOKMARK', resourceVersion: '6', initialEventsEnd: false },
  ]);
  expect(isExpired(failure)).toBe(true);
});

test('a refused token is read anew', async () => {
  let reads = 0;
  const { client } = await serve(
    (request, response) => {
      if (request.headers.authorization !== 'Bearer token-2') {
        return json(response, 401, refusal('Unauthorized', 401));
      }
      json(response, 200, pod('a'));
    },
    '',
    async () => `token-${++reads}`,
  );
  const ref = { namespace: 'x', name: 'a' };
  await expect(client.get(Pods, ref, { signal })).rejects.toMatchObject({ reason: 'Unauthorized' });
  expect(await client.get(Pods, ref, { signal })).toMatchObject({ metadata: { name: 'a' } });
});

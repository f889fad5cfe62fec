import { request as httpsRequest, Agent } from 'node:https';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { systemClock } from '../../src/lib/clock.ts';
import { etcdStore } from '../../src/standalone/apiserver/store/etcd-store.ts';
import type { Loose } from '../support/api-call.ts';
import { startEtcd, type TestEtcd } from '../support/etcd.ts';
import { startSecureApi, type SecureApi } from '../support/secure-api.ts';

let etcd: TestEtcd;
beforeAll(async () => {
  etcd = await startEtcd();
});
afterAll(() => etcd.close());

const start = () =>
  startSecureApi({ store: etcdStore({ endpoint: etcd.endpoint, tls: etcd.tls, clock: systemClock }) });

function caller(api: SecureApi) {
  const agent = new Agent({ keepAlive: true, ca: api.ca, cert: api.admin.cert, key: api.admin.key });
  return (method: string, path: string, body?: unknown, type = 'application/json') =>
    new Promise<{ code: number; body: Loose }>((resolve, reject) => {
      const call = httpsRequest(
        api.url + path,
        { method, agent, headers: { 'content-type': type } },
        (answer) => {
          let text = '';
          answer.on('data', (chunk: Buffer) => (text += chunk.toString()));
          answer.on('end', () => resolve({ code: answer.statusCode ?? 0, body: JSON.parse(text) as Loose }));
        },
      );
      call.on('error', reject);
      call.end(body === undefined ? undefined : JSON.stringify(body));
    });
}

/** Keeps a list of events of a watch. */
function watching(api: SecureApi, path: string): { readonly events: Loose[]; stop(): void } {
  const events: Loose[] = [];
  let rest = '';
  const agent = new Agent({ ca: api.ca, cert: api.admin.cert, key: api.admin.key });
  const call = httpsRequest(api.url + path, { agent }, (answer) => {
    answer.on('data', (chunk: Buffer) => {
      const lines = (rest + chunk.toString()).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) events.push(JSON.parse(line) as Loose);
    });
    answer.on('error', () => undefined);
  });
  call.on('error', () => undefined);
  call.end();
  return { events, stop: () => call.destroy() };
}

const maps = '/api/v1/namespaces/default/configmaps';
const map = (name: string) => ({ metadata: { name }, data: { k: 'v' } });

describe('the API over etcd', () => {
  test('has after a restart what it had before, at the same versions, and gives no address twice', async () => {
    const first = await start();
    const before = caller(first);
    await before('POST', maps, map('kept'));
    const kept = (await before('GET', `${maps}/kept`)).body;
    const service = (name: string) => ({
      metadata: { name },
      spec: { ports: [{ port: 80 }], clusterIP: '10.96.5.5' },
    });
    await before('POST', '/api/v1/namespaces/default/services', service('one'));
    await first.close();

    const second = await start();
    const after = caller(second);
    expect((await after('GET', `${maps}/kept`)).body).toEqual(kept);
    expect((await after('POST', '/api/v1/namespaces/default/services', service('two'))).code).toBe(422);
    const version = String(kept['metadata']?.['resourceVersion']);
    const watch = watching(second, `${maps}?watch=1&resourceVersion=${version}`);
    await expect.poll(() => watch.events[0]).toMatchObject({ type: 'ERROR', object: { code: 410 } });
    watch.stop();
    await second.close();
  });

  test('outlives a kill of etcd: reads go on, watches miss nothing, writes come back', async () => {
    const api = await start();
    const call = caller(api);
    await call('POST', maps, map('before'));
    const version = (await call('GET', maps)).body['metadata']?.['resourceVersion'];
    const watch = watching(api, `${maps}?watch=1&resourceVersion=${String(version)}`);
    await etcd.kill();
    expect((await call('GET', `${maps}/before`)).code).toBe(200);
    const refused = await call('POST', maps, map('lost'));
    expect(refused.code).toBe(504);
    expect(refused.body['kind']).toBe('Status');
    await etcd.start();
    // 409: one that was answered by 504 came through after all.
    await expect.poll(async () => (await call('POST', maps, map('after'))).code).toBeOneOf([201, 409]);
    await expect
      .poll(() => watch.events.map((event) => event['object']?.['metadata']?.['name']))
      .toEqual(['after']);
    expect((await call('GET', `${maps}/lost`)).code).toBe(404);
    watch.stop();
    await api.close();
  });

  test('a hundred clients that create, read and list at once see their own writes', async () => {
    const api = await start();
    const call = caller(api);
    const wrong: string[] = [];
    await Promise.all(
      Array.from({ length: 100 }, async (_, i) => {
        const made = await call('POST', maps, map(`own-${i}`));
        if (made.code !== 201) wrong.push(`create ${made.code}`);
        if ((await call('GET', `${maps}/own-${i}`)).code !== 200) wrong.push(`get ${i}`);
        const listed = (await call('GET', maps)).body['items'] as unknown as { metadata: { name: string } }[];
        if (!listed.some(({ metadata }) => metadata.name === `own-${i}`)) wrong.push(`list ${i}`);
        await call('DELETE', `${maps}/own-${i}`);
        if ((await call('GET', `${maps}/own-${i}`)).code !== 404) wrong.push(`deleted ${i}`);
      }),
    );
    expect(wrong).toEqual([]);
    await api.close();
  });
});

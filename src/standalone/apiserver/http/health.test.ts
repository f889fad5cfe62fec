import { expect, test } from 'vitest';
import { silentLogger } from '../../../lib/log.ts';
import { health } from './health.ts';

const checks = [
  { name: 'ping', check: () => Promise.resolve(undefined) },
  { name: 'etcd', check: () => Promise.reject(new Error('no answer')) },
];
const ask = async (path: string, query = '') =>
  health(checks, silentLogger)(path, new URLSearchParams(query), {} as never);

test('one failed check fails the whole, and is named', async () => {
  expect(await ask('/readyz')).toMatchObject({ code: 500 });
  expect((await ask('/livez', 'verbose'))?.text).toBe(
    '[+]ping ok\n[-]etcd failed: reason withheld\nlivez check failed\n',
  );
  expect(await ask('/readyz/ping')).toMatchObject({ code: 200, text: 'ok' });
  expect(await ask('/readyz', 'exclude=etcd')).toMatchObject({ code: 200 });
  expect(await ask('/readyz/none')).toBeUndefined();
  expect(await ask('/metrics')).toBeUndefined();
});

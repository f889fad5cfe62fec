import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Clock } from '../../src/lib/clock.ts';
import { silentLogger, type Logger } from '../../src/lib/log.ts';
import { createApiServer } from '../../src/standalone/apiserver/server.ts';
import type { Store } from '../../src/standalone/apiserver/store/store.ts';
import { memoryStore } from '../../src/standalone/apiserver/store/memory-store.ts';

export interface TestApi {
  readonly url: string;
  /** Path of a kubeconfig with this server and an admin user. */
  readonly kubeconfig: string;
  close(): Promise<void>;
}

/** The real API server over the in-memory store: plain HTTP on a free loopback port, everybody is admin. */
export async function startTestApi(
  options: { clock?: Clock; log?: Logger; store?: Store } = {},
): Promise<TestApi> {
  const store = options.store ?? memoryStore();
  const server = await createApiServer({
    store,
    listen: [{ host: '127.0.0.1', port: 0 }],
    insecureAdmin: true,
    // No controller makes the `default` accounts that pods would need.
    withoutAdmission: ['ServiceAccount'],
    log: options.log ?? silentLogger,
    ...(options.clock ? { clock: options.clock } : {}),
  });
  const [url = ''] = server.urls;
  const folder = await mkdtemp(join(tmpdir(), 'holdfast-test-api-'));
  const kubeconfig = join(folder, 'kubeconfig');
  const config = {
    apiVersion: 'v1',
    kind: 'Config',
    'current-context': 'test',
    clusters: [{ name: 'test', cluster: { server: url } }],
    users: [{ name: 'admin', user: {} }],
    contexts: [{ name: 'test', context: { cluster: 'test', user: 'admin' } }],
  };
  await writeFile(kubeconfig, JSON.stringify(config), { mode: 0o600 });
  return {
    url,
    kubeconfig,
    async close() {
      await server.close();
      await store.close();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

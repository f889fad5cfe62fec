import { onTestFinished } from 'vitest';
import type { KubeClient } from '../../src/kube/client.ts';
import { loadKubeConfig } from '../../src/kube/kubeconfig.ts';
import { createKubeClient } from '../../src/kube/undici-client.ts';
import { startTestApi } from './api-server.ts';

/** A client of an API server that the running test has for itself; both end with it. */
export async function startTestClient(): Promise<KubeClient> {
  const api = await startTestApi();
  const client = createKubeClient(await loadKubeConfig(api.kubeconfig));
  onTestFinished(async () => {
    await client.close();
    await api.close();
  });
  return client;
}

import { expect, test } from 'vitest';
import { CSINodes } from '../api/core.ts';
import { loadKubeConfig } from '../kube/kubeconfig.ts';
import { createKubeClient } from '../kube/undici-client.ts';
import { startTestApi } from '../../test/support/api-server.ts';
import { nodeLookup } from './node-lookup.ts';

test('a node is known by its name or by its id of this driver, and believed for a while', async () => {
  const api = await startTestApi();
  const client = createKubeClient(await loadKubeConfig(api.kubeconfig));
  try {
    const { signal } = new AbortController();
    let nowMs = 0;
    const exists = nodeLookup(client, 'd.example.com', () => nowMs);
    const ask = (node: string) => exists(node, signal);
    const make = (name: string, driver: string, nodeID: string) =>
      client.create(
        CSINodes,
        { metadata: { name }, spec: { drivers: [{ name: driver, nodeID }] } },
        { signal },
      );
    expect(await ask('n1')).toBe(false);
    await make('n1', 'd.example.com', 'id-1');
    await make('n2', 'other.example.com', 'id-2');
    expect(await Promise.all(['n1', 'id-1', 'id-2', 'n3', 'a/../b'].map(ask))).toEqual([
      true,
      true,
      false,
      false,
      false,
    ]);
    await client.delete(CSINodes, { name: 'n1' }, { signal });
    nowMs = 299_000;
    expect(await ask('n1')).toBe(true);
    nowMs = 301_000;
    expect(await ask('n1')).toBe(false);
  } finally {
    await client.close();
    await api.close();
  }
});

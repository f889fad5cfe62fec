import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { startTestApi, type TestApi } from '../../test/support/api-server.ts';
import type { KubeClient } from '../kube/client.ts';
import { loadKubeConfig } from '../kube/kubeconfig.ts';
import { applyManifests, parseManifests } from '../kube/manifests.ts';
import { createKubeClient } from '../kube/undici-client.ts';
import { systemClock } from '../lib/clock.ts';
import { notBeingDeleted } from './demo.ts';
import { CephBlockPools } from './storage-kinds.ts';

const crd = resolve(import.meta.dirname, '../../deploy/crds/cephblockpools.ceph.rook.io.yaml');
const ref = { namespace: 'default', name: 'replicapool' };
const { signal } = new AbortController();
let api: TestApi;
let client: KubeClient;

beforeEach(async () => {
  api = await startTestApi();
  client = createKubeClient(await loadKubeConfig(api.kubeconfig));
  const options = { fieldManager: 'test', signal, clock: systemClock };
  await applyManifests(client, parseManifests(await readFile(crd, 'utf8'), crd), options);
});
afterEach(async () => {
  await client.close();
  await api.close();
});

const makePool = (finalizers: string[]) => {
  const pool = {
    apiVersion: 'ceph.rook.io/v1',
    kind: 'CephBlockPool',
    metadata: { ...ref, finalizers },
    spec: { failureDomain: 'osd', replicated: { size: 3 } },
  };
  return client.create(CephBlockPools, pool, { signal });
};
const said: string[] = [];
const look = (timeoutMs: number) =>
  notBeingDeleted(client, CephBlockPools, ref, {
    step: { detail: (text) => void said.push(text) },
    signal,
    timeoutMs,
  });

test('a pool that somebody deleted is waited out, or told of with what it waits for', async () => {
  await look(15_000); // None is there.
  await makePool(['test/held']);
  await look(15_000);
  await client.delete(CephBlockPools, ref, { signal });
  await expect(look(100)).rejects.toThrow('somebody deleted CephBlockPool replicapool, and it waits');

  said.length = 0;
  const going = look(15_000);
  await expect.poll(() => said.length).toBeGreaterThan(0);
  const release = { type: 'merge' as const, body: { metadata: { finalizers: [] } } };
  await client.patch(CephBlockPools, ref, release, { signal });
  await going;
  expect(await client.get(CephBlockPools, ref, { signal })).toBeUndefined();
});

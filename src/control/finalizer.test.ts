import { afterEach, beforeEach, expect, test } from 'vitest';
import { startTestApi, type TestApi } from '../../test/support/api-server.ts';
import { ConfigMaps } from '../api/core.ts';
import type { KubeClient } from '../kube/client.ts';
import { loadKubeConfig } from '../kube/kubeconfig.ts';
import { createKubeClient } from '../kube/undici-client.ts';
import { addFinalizer, removeFinalizer } from './finalizer.ts';

const options = { signal: AbortSignal.timeout(60_000) };
const ours = 'holdfast.test/ours';
const place = { namespace: 'default', name: 'c' };
let api: TestApi;
let client: KubeClient;
let writes: number;

beforeEach(async () => {
  api = await startTestApi();
  const real = createKubeClient(await loadKubeConfig(api.kubeconfig));
  writes = 0;
  const patch: KubeClient['patch'] = async (...call) => {
    writes++;
    return await real.patch(...call);
  };
  client = { ...real, patch };
});
afterEach(async () => {
  await client.close();
  await api.close();
});

const make = (metadata: object = {}) =>
  client.create(ConfigMaps, { metadata: { ...place, ...metadata } }, options);

test('finalizer and annotations are one write beside those of others, and none where they are there', async () => {
  const made = await make({ finalizers: ['other/one'], annotations: { kept: 'yes', old: 'no' } });
  const wish = { ...options, annotations: { old: 'new', 'a.b/c': 'x' } };
  const held = await addFinalizer(client, ConfigMaps, made, ours, wish);
  expect(held?.metadata.finalizers).toEqual(['other/one', ours]);
  expect(held?.metadata.annotations).toEqual({ kept: 'yes', old: 'new', 'a.b/c': 'x' });
  expect(writes).toBe(1);
  if (held) await addFinalizer(client, ConfigMaps, held, ours, wish);
  expect(writes).toBe(1);
});

test('an object that moved meanwhile is read anew; one being deleted takes no new finalizer', async () => {
  const made = await make({ finalizers: ['other/one'] });
  await client.patch(ConfigMaps, place, { type: 'merge', body: { data: { k: 'v' } } }, options);
  const held = await addFinalizer(client, ConfigMaps, made, ours, options);
  expect(held).toMatchObject({ data: { k: 'v' }, metadata: { finalizers: ['other/one', ours] } });
  const left = held && (await removeFinalizer(client, ConfigMaps, held, ours, options));
  expect(left?.metadata.finalizers).toEqual(['other/one']);
  await client.delete(ConfigMaps, place, options);
  expect(await addFinalizer(client, ConfigMaps, made, ours, options)).toBeUndefined();
});

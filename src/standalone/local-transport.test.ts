import { afterEach, beforeEach, expect, test } from 'vitest';
import { startSecureApi, type SecureApi } from '../../test/support/secure-api.ts';
import { ClusterRoleBindings, ConfigMaps, Namespaces, Secrets } from '../api/core.ts';
import type { KubeClient } from '../kube/client.ts';
import { isAlreadyExists, isForbidden, isKubeError } from '../kube/errors.ts';
import { kubeClientOver } from '../kube/undici-client.ts';
import { localTransport } from './local-transport.ts';

const options = { signal: AbortSignal.timeout(30_000) };
const configMap = (name: string) => ({ metadata: { namespace: 'default', name }, data: { k: 'v' } });
let api: SecureApi;
let admin: KubeClient;
beforeEach(async () => {
  api = await startSecureApi();
  admin = clientOf('admin', ['system:masters']);
});
afterEach(async () => {
  await admin.close();
  await api.close();
});

const clientOf = (name: string, groups: string[] = []) =>
  kubeClientOver(localTransport(api.local({ name, groups: [...groups, 'system:authenticated'] })), {
    fieldManager: 'local',
  });

test('reads and writes as over the wire, and shares no object with the server', async () => {
  const made = await admin.create(ConfigMaps, configMap('a'), options);
  expect(made.metadata.managedFields).toMatchObject([{ manager: 'local', operation: 'Update' }]);
  made.data = { k: 'changed here only' };
  const read = await admin.get(ConfigMaps, made.metadata, options);
  expect(read?.data).toEqual({ k: 'v' });

  const patched = await admin.patch(
    ConfigMaps,
    made.metadata,
    { type: 'merge', body: { data: { more: 'x' } } },
    options,
  );
  expect(patched.data).toEqual({ k: 'v', more: 'x' });
  await expect(admin.create(ConfigMaps, configMap('a'), options)).rejects.toSatisfy(isAlreadyExists);
  expect(await admin.get(ConfigMaps, { namespace: 'default', name: 'none' }, options)).toBeUndefined();
  expect(await admin.request({ method: 'GET', path: '/readyz' }, options)).toBe('ok');
});

test('a user without a role is refused, and let in once there is one', async () => {
  const stranger = clientOf('stranger');
  const secret = { namespace: 'default', name: 's' };
  await expect(stranger.get(Secrets, secret, options)).rejects.toSatisfy(isForbidden);
  const watch = stranger.watchOnce(
    Secrets,
    { resourceVersion: '' },
    { signal: options.signal, timeoutSeconds: 5 },
  );
  await expect(watch[Symbol.asyncIterator]().next()).rejects.toSatisfy(isForbidden);
  await admin.create(
    ClusterRoleBindings,
    {
      metadata: { name: 'strangers' },
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'cluster-admin' },
      subjects: [{ apiGroup: 'rbac.authorization.k8s.io', kind: 'User', name: 'stranger' }],
    },
    options,
  );
  expect(await stranger.get(Secrets, secret, options)).toBeUndefined();
});

test('a watch gives what changes, and ends by its signal', async () => {
  const { resourceVersion } = await admin.list(ConfigMaps, { namespace: 'default' }, options);
  const stop = new AbortController();
  const watch = admin.watchOnce(
    ConfigMaps,
    { namespace: 'default', resourceVersion },
    { signal: stop.signal, timeoutSeconds: 60 },
  );
  const events = watch[Symbol.asyncIterator]();
  const first = events.next();
  await admin.create(ConfigMaps, configMap('b'), options);
  expect((await first).value).toMatchObject({ type: 'ADDED', object: { metadata: { name: 'b' } } });
  const next = events.next();
  const reason = new Error('enough');
  stop.abort(reason);
  await expect(next).rejects.toBe(reason);
});

test('watches end when the server closes or the client does, and a closed client asks nothing more', async () => {
  const other = clientOf('other', ['system:masters']);
  const { resourceVersion } = await admin.list(Namespaces, {}, options);
  const pending = [admin, other].map(async (client) => {
    const events = client.watchOnce(
      Namespaces,
      { resourceVersion },
      { signal: options.signal, timeoutSeconds: 60 },
    );
    for await (const event of events) throw new Error(`an event: ${event.type}`);
  });
  await other.list(Namespaces, {}, options);
  await other.close();
  await pending[1];
  const late = other.watchOnce(
    Namespaces,
    { resourceVersion },
    { signal: options.signal, timeoutSeconds: 60 },
  );
  const first = late[Symbol.asyncIterator]().next();
  await expect(first).rejects.toSatisfy((error: unknown) => isKubeError(error, 'Unreachable'));
  await api.close();
  await pending[0];
});

test('a call whose signal aborts is given up with its reason', async () => {
  const reason = new Error('no longer wanted');
  const stop = new AbortController();
  const call = admin.list(ConfigMaps, {}, { signal: stop.signal });
  stop.abort(reason);
  await expect(call).rejects.toBe(reason);
});

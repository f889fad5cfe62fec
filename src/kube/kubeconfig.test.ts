import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { inClusterConfig, loadKubeConfig, parseKubeConfig } from './kubeconfig.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kubeconfig-'));
});
afterEach(() => rm(folder, { recursive: true }));

const base64 = (text: string) => Buffer.from(text).toString('base64');
const file = (user: string, context = 'main') => `
apiVersion: v1
kind: Config
current-context: ${context}
clusters:
- name: c
  cluster: {server: "https://10.0.0.1:6443", certificate-authority-data: ${base64('CA')}, tls-server-name: api}
users:
- name: u
  user: ${user}
contexts:
- name: main
  context: {cluster: c, user: u, namespace: rook-ceph}
`;

test('certificates come from data or from files beside the kubeconfig', async () => {
  await writeFile(join(folder, 'key.pem'), 'KEY');
  const path = join(folder, 'config');
  await writeFile(path, file(`{client-certificate-data: ${base64('CERT')}, client-key: key.pem}`));
  expect(await loadKubeConfig(path)).toEqual({
    url: 'https://10.0.0.1:6443',
    tls: { ca: 'CA', cert: 'CERT', key: 'KEY', serverName: 'api' },
    namespace: 'rook-ceph',
  });
});

test('a token file is read at each call, so that a new token is used', async () => {
  await writeFile(join(folder, 'token'), 'one\n');
  const config = await parseKubeConfig(file('{token: fixed, tokenFile: token}'), folder);
  expect(await config.token?.()).toBe('one');
  await writeFile(join(folder, 'token'), 'two\n');
  expect(await config.token?.()).toBe('two');
});

test('what is wrong is named', async () => {
  await expect(parseKubeConfig(file('{}', 'other'), folder)).rejects.toThrow(
    'current-context: no context is named "other"',
  );
  await expect(parseKubeConfig('clusters: 5', folder)).rejects.toMatchObject({ field: 'clusters' });
  await expect(parseKubeConfig(file('{}').replace('cluster: c,', 'cluster: d,'), folder)).rejects.toThrow(
    'contexts.main.cluster: no cluster is named "d"',
  );
});

test('a pod’s configuration comes from its ServiceAccount’s folder', async () => {
  await writeFile(join(folder, 'ca.crt'), 'CA');
  await writeFile(join(folder, 'token'), 'secret\n');
  await writeFile(join(folder, 'namespace'), 'rook-ceph\n');
  const config = await inClusterConfig({ host: 'fd00::1', port: '443', folder });
  expect(config).toMatchObject({ url: 'https://[fd00::1]:443', tls: { ca: 'CA' }, namespace: 'rook-ceph' });
  expect(await config.token?.()).toBe('secret');
});

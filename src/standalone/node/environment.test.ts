import type { Container, Pod, Service } from 'kubernetes-types/core/v1.js';
import { expect, test } from 'vitest';
import { containerEnvironment, serviceEnvironment } from './environment.ts';
import type { PodReferences } from './references.ts';

const { signal } = new AbortController();
const objects: Record<string, Record<string, string>> = {
  'configmap d/conf': { key: 'value', 'a.b': 'dots' },
  'secret d/sec': { word: 'hush' },
};
const references: PodReferences = {
  data: (kind, namespace, name) => {
    const found = objects[`${kind} ${namespace}/${name}`];
    return Promise.resolve(
      found && new Map(Object.entries(found).map(([key, value]) => [key, Buffer.from(value)])),
    );
  },
  follow: () => undefined,
  close: () => undefined,
};
const service = (
  namespace: string,
  name: string,
  clusterIP: string,
  port: number,
  portName?: string,
): Service => ({
  metadata: { namespace, name },
  spec: { clusterIP, ports: [{ port, ...(portName ? { name: portName } : {}) }] },
});
const services = [
  service('default', 'kubernetes', '10.0.0.1', 443, 'https'),
  service('d', 'my-db', '10.0.0.9', 5432),
  service('other', 'hidden', '10.0.0.7', 1),
  service('d', 'headless', 'None', 1),
];
const pod = (spec: object = {}): Pod => ({
  metadata: { name: 'p', namespace: 'd', uid: 'u', labels: { app: 'x' } },
  spec: { containers: [], serviceAccountName: 'sa', ...spec },
});
const resolve = async (container: Partial<Container>, spec: object = {}) =>
  Object.fromEntries(
    await containerEnvironment(
      pod(spec),
      { name: 'c', ...container },
      {
        references,
        services,
        addresses: { nodeName: 'n1', hostIp: '1.1.1.1', podIps: ['2.2.2.2', '3.3.3.3'] },
        capacity: { milliCpu: 4000n, memoryBytes: 8n << 30n, ephemeralStorageBytes: 1n << 40n },
      },
      signal,
    ),
  );

test('services of the namespace and default/kubernetes, nothing of other namespaces', () => {
  const names = [...serviceEnvironment(pod(), services)];
  const all = Object.fromEntries(names);
  expect(all).toMatchObject({
    KUBERNETES_SERVICE_HOST: '10.0.0.1',
    KUBERNETES_SERVICE_PORT_HTTPS: '443',
    MY_DB_SERVICE_HOST: '10.0.0.9',
    MY_DB_PORT: 'tcp://10.0.0.9:5432',
    MY_DB_PORT_5432_TCP_ADDR: '10.0.0.9',
  });
  expect(names.some(([name]) => /HIDDEN|HEADLESS/.test(name))).toBe(false);
  const unlinked = Object.fromEntries(serviceEnvironment(pod({ enableServiceLinks: false }), services));
  expect(unlinked['KUBERNETES_SERVICE_HOST']).toBe('10.0.0.1');
  expect(unlinked['MY_DB_SERVICE_HOST']).toBeUndefined();
});

test('env wins over envFrom wins over services; only what came before is expanded', async () => {
  const found = await resolve({
    envFrom: [{ configMapRef: { name: 'conf' } }, { prefix: 'S_', secretRef: { name: 'sec' } }],
    env: [
      { name: 'key', value: 'own' },
      { name: 'LATER', value: '$(AFTER) $(key) $(MY_DB_SERVICE_HOST)' },
      { name: 'AFTER', value: 'x' },
      { name: 'MY_DB_PORT', value: 'mine' },
    ],
  });
  expect(found).toMatchObject({
    key: 'own',
    'a.b': 'dots',
    S_word: 'hush',
    LATER: '$(AFTER) own 10.0.0.9',
    MY_DB_PORT: 'mine',
  });
});

test('fields and resources of the pod', async () => {
  const field = (name: string, fieldPath: string) => ({ name, valueFrom: { fieldRef: { fieldPath } } });
  const found = await resolve({
    resources: { limits: { cpu: '1500m' } },
    env: [
      field('A', 'metadata.name'),
      field('B', "metadata.labels['app']"),
      field('C', 'spec.nodeName'),
      field('D', 'status.podIP'),
      field('E', 'status.podIPs'),
      field('F', 'status.hostIP'),
      { name: 'CPU', valueFrom: { resourceFieldRef: { resource: 'limits.cpu' } } },
      { name: 'MEM', valueFrom: { resourceFieldRef: { resource: 'limits.memory', divisor: '1Mi' } } },
      { name: 'REQ', valueFrom: { resourceFieldRef: { resource: 'requests.cpu', divisor: '1m' } } },
    ],
  });
  expect(found).toMatchObject({
    A: 'p',
    B: 'x',
    C: 'n1',
    D: '2.2.2.2',
    E: '2.2.2.2,3.3.3.3',
    F: '1.1.1.1',
    CPU: '2', // Rounded up.
    MEM: '8192', // The whole node, where there is no limit.
    REQ: '1500',
  });
});

test.each([
  [
    { env: [{ name: 'X', valueFrom: { secretKeyRef: { name: 'none', key: 'k' } } }] },
    'secret "none" not found',
  ],
  [
    { env: [{ name: 'X', valueFrom: { configMapKeyRef: { name: 'conf', key: 'k' } } }] },
    "couldn't find key k in ConfigMap d/conf",
  ],
  [{ envFrom: [{ configMapRef: { name: 'none' } }] }, 'configmap "none" not found'],
  [
    { env: [{ name: 'X', valueFrom: { fieldRef: { fieldPath: 'spec.secret' } } }] },
    'unsupported fieldPath: spec.secret',
  ],
])('what is missing is refused with its name', async (container, message) => {
  await expect(resolve(container)).rejects.toMatchObject({
    reason: 'CreateContainerConfigError',
    message: expect.stringContaining(message) as string,
  });
});

test('what is missing and optional is left out', async () => {
  const found = await resolve({
    envFrom: [{ secretRef: { name: 'none', optional: true } }],
    env: [{ name: 'X', valueFrom: { configMapKeyRef: { name: 'conf', key: 'k', optional: true } } }],
  });
  expect('X' in found).toBe(false);
});

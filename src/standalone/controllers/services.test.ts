import type { Pod } from 'kubernetes-types/core/v1.js';
import type { EndpointSlice } from 'kubernetes-types/discovery/v1.js';
import type { Stored } from '../../api/resource.ts';
import { expect, test } from 'vitest';
import { addNode, startBench, type Bench } from '../../../test/support/controller-bench.ts';
import {
  ConfigMaps,
  Endpoints,
  EndpointSlices,
  Namespaces,
  Pods,
  ServiceAccounts,
  Services,
} from '../../api/core.ts';
import { endpointsController } from './endpoints-controller.ts';
import { endpointsMirrorController } from './endpoints-mirror.ts';
import { namespaceController } from './namespace-controller.ts';
import { namespaceDefaultsController } from './namespace-defaults.ts';

const backend = (name: string, annotations: Record<string, string> = {}): Pod => ({
  metadata: { name, namespace: 'default', labels: { app: 'web' }, annotations },
  spec: {
    nodeName: 'n1',
    containers: [{ name: 'c', image: 'x', ports: [{ name: 'http', containerPort: 8080 }] }],
  },
});
const ofWeb = { labelSelector: 'kubernetes.io/service-name=web' };
const slicesOf = <R>(
  running: Bench,
  ready: (slices: readonly Stored<EndpointSlice>[]) => R | undefined | false,
) => running.until(EndpointSlices, ready, ofWeb);
const web = {
  metadata: { name: 'web', namespace: 'default' },
  spec: { selector: { app: 'web' }, ports: [{ name: 'http', port: 80, targetPort: 'http' }] },
};

test('a Service’s endpoints follow its pods: ready, not ready, terminating, gone', async () => {
  const running = await startBench([(manager, environment) => manager.add(endpointsController(environment))]);
  await addNode(running, 'n1', { labels: { 'topology.kubernetes.io/zone': 'z' } });
  await running.create(Services, web);
  await slicesOf(running, (slices) => slices.length === 1 && (slices[0]?.endpoints ?? []).length === 0);
  await running.create(Pods, backend('a'));
  await running.create(Pods, backend('b', { 'test/stuck': 'true' }));
  const [slice] = await slicesOf(
    running,
    (slices) =>
      slices.length === 1 && slices[0]?.endpoints.filter((e) => e.conditions?.ready).length === 2 && slices,
  );
  expect(slice).toMatchObject({
    addressType: 'IPv4',
    ports: [{ name: 'http', port: 8080, protocol: 'TCP' }],
    endpoints: [{ nodeName: 'n1', zone: 'z', targetRef: { kind: 'Pod', name: 'a' } }, {}],
    metadata: { labels: { 'kubernetes.io/service-name': 'web' } },
  });
  await running.until(Endpoints, (list) => {
    const [one] = list.filter((e) => e.metadata.name === 'web');
    return one?.subsets?.[0]?.addresses?.length === 2 && one.subsets[0].ports?.[0]?.port === 8080;
  });

  // A pod that is going serves what it has, but gets nothing new.
  await running.client.delete(Pods, { namespace: 'default', name: 'b' }, { signal: running.signal });
  await slicesOf(running, (slices) =>
    slices[0]?.endpoints.some(
      (one) =>
        one.targetRef?.name === 'b' &&
        !one.conditions?.ready &&
        one.conditions?.serving &&
        one.conditions.terminating,
    ),
  );
  await running.client.delete(
    Pods,
    { namespace: 'default', name: 'b' },
    { signal: running.signal, gracePeriodSeconds: 0 },
  );
  await slicesOf(running, (slices) => slices[0]?.endpoints.length === 1);

  await running.client.delete(Services, { namespace: 'default', name: 'web' }, { signal: running.signal });
  await running.until(Endpoints, (list) => !list.some((one) => one.metadata.name === 'web'));
});

test('publishNotReadyAddresses counts pods before they are ready, and a headless Service is marked', async () => {
  const running = await startBench([(manager, environment) => manager.add(endpointsController(environment))]);
  await addNode(running, 'n1');
  const spec = { ...web.spec, clusterIP: 'None', publishNotReadyAddresses: true };
  await running.create(Services, { ...web, spec });
  await running.create(Pods, backend('a', { 'test/broken': 'true' }));
  await running.merge(
    Pods,
    { namespace: 'default', name: 'a' },
    { status: { phase: 'Running', podIP: '10.244.9.9', podIPs: [{ ip: '10.244.9.9' }] } },
    'status',
  );
  const [slice] = await slicesOf(
    running,
    (slices) => slices[0]?.endpoints[0]?.conditions?.ready === true && slices,
  );
  expect(slice?.endpoints[0]).toMatchObject({
    addresses: ['10.244.9.9'],
    conditions: { ready: true, serving: false },
  });
  expect(slice?.metadata.labels).toHaveProperty(['service.kubernetes.io/headless']);
});

test('endpoints written by hand for a Service without a selector are shown as slices', async () => {
  const running = await startBench([
    (manager, environment) => manager.add(endpointsController(environment)),
    (manager, environment) => manager.add(endpointsMirrorController(environment)),
  ]);
  const { selector: _none, ...spec } = web.spec;
  await running.create(Services, { ...web, spec });
  const ports = [{ name: 'http', port: 9 }];
  const subsets = [{ addresses: [{ ip: '192.0.2.1' }, { ip: '2001:db8::1' }], ports }];
  await running.create(Endpoints, { metadata: { name: 'web', namespace: 'default' }, subsets });
  const both = await slicesOf(running, (slices) => slices.length === 2 && slices);
  expect(
    both.map((one) => [one.addressType, one.endpoints[0]?.addresses[0], one.ports?.[0]?.port]).sort(),
  ).toEqual([
    ['IPv4', '192.0.2.1', 9],
    ['IPv6', '2001:db8::1', 9],
  ]);
  await running.merge(
    Endpoints,
    { namespace: 'default', name: 'web' },
    { subsets: [{ addresses: [{ ip: '192.0.2.2' }], ports }] },
  );
  await slicesOf(
    running,
    (slices) => slices.length === 1 && slices[0]?.endpoints[0]?.addresses[0] === '192.0.2.2',
  );
});

const startNamespaces = async () =>
  await startBench(
    [
      (manager, environment) => manager.add(namespaceController(environment)),
      (manager, environment) => manager.add(namespaceDefaultsController(environment)),
    ],
    { rootCa: 'PEM' },
  );

test('every namespace has its account and the CA, and gets them back', async () => {
  const running = await startNamespaces();
  await running.create(Namespaces, { metadata: { name: 'x' } });
  const has = async () => {
    await running.until(ServiceAccounts, (list) => list.find((one) => one.metadata.name === 'default'), {
      namespace: 'x',
    });
    return await running.until(
      ConfigMaps,
      (list) =>
        list.find((one) => one.metadata.name === 'kube-root-ca.crt' && one.data?.['ca.crt'] === 'PEM'),
      { namespace: 'x' },
    );
  };
  const first = await has();
  await running.client.delete(
    ServiceAccounts,
    { namespace: 'x', name: 'default' },
    { signal: running.signal },
  );
  await running.merge(
    ConfigMaps,
    { namespace: 'x', name: first.metadata.name },
    { data: { 'ca.crt': 'other' } },
  );
  await running.until(
    ConfigMaps,
    (list) =>
      list.some(
        (one) =>
          Number(one.metadata.resourceVersion) > Number(first.metadata.resourceVersion) + 1 &&
          one.data?.['ca.crt'] === 'PEM',
      ),
    { namespace: 'x' },
  );
  await has();
});

test('a deleted namespace is emptied, says what holds it, and goes', async () => {
  const running = await startNamespaces();
  await running.create(Namespaces, { metadata: { name: 'x' } });
  await running.create(ConfigMaps, { metadata: { name: 'a', namespace: 'x' } });
  await running.create(ConfigMaps, {
    metadata: { name: 'held', namespace: 'x', finalizers: ['example.com/hold'] },
  });
  await running.client.delete(Namespaces, { name: 'x' }, { signal: running.signal });
  const stuck = await running.until(Namespaces, (list) =>
    list.find((one) =>
      one.status?.conditions?.some((c) => c.type === 'NamespaceFinalizersRemaining' && c.status === 'True'),
    ),
  );
  expect(stuck.status?.phase).toBe('Terminating');
  expect(stuck.status?.conditions?.find((c) => c.type === 'NamespaceFinalizersRemaining')?.message).toBe(
    'Some content in the namespace has finalizers remaining: example.com/hold in 1 resource instances',
  );
  await running.merge(ConfigMaps, { namespace: 'x', name: 'held' }, { metadata: { finalizers: null } });
  await running.until(Namespaces, (list) => !list.some((one) => one.metadata.name === 'x'));
  expect(await running.all(ConfigMaps, { namespace: 'x' })).toEqual([]);
});

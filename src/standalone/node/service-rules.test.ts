import type { Service } from 'kubernetes-types/core/v1.js';
import type { EndpointSlice } from 'kubernetes-types/discovery/v1.js';
import { expect, test } from 'vitest';
import { serviceRules } from './service-rules.ts';

const web = (spec: object = {}): Service => ({
  metadata: { namespace: 'd', name: 'web' },
  spec: { clusterIP: '10.96.0.9', ports: [{ port: 80 }], ...spec },
});
const slice = (
  addresses: string[],
  over: object = {},
  conditions: object = { ready: true },
): EndpointSlice => ({
  metadata: { namespace: 'd', name: 's', labels: { 'kubernetes.io/service-name': 'web' } },
  addressType: 'IPv4',
  endpoints: addresses.map((address) => ({ addresses: [address], conditions, nodeName: `on-${address}` })),
  ports: [{ port: 8080, protocol: 'TCP' }],
  ...over,
});
const render = (services: Service[], slices: EndpointSlice[]) =>
  serviceRules({
    services,
    slices,
    serviceCidr: '10.96.0.0/16',
    podCidr: '10.244.0.0/24',
    nodeName: 'on-10.244.0.1',
  }).split('\n');
const dnats = (lines: string[]) => lines.filter((line) => line.includes('DNAT --to'));
const bare = (line: string | undefined) => line?.replace(/HF-(SVC|SEP)-\w+/g, '$1');

test('two endpoints share evenly, the last taking what is left', () => {
  const lines = render([web()], [slice(['10.244.0.2', '10.244.0.1'])]);
  expect(dnats(lines).map(bare)).toEqual([
    '-A SVC -m statistic --mode random --probability 0.5000000000 -p tcp -m tcp -j DNAT --to-destination 10.244.0.1:8080',
    '-A SVC -p tcp -m tcp -j DNAT --to-destination 10.244.0.2:8080',
  ]);
  expect(lines.map(bare)).toContain('-A HF-SERVICES -d 10.96.0.9/32 -p tcp -m tcp --dport 80 -j SVC');
});

test('every table is whole: each chain that is used is declared, and each is committed', () => {
  const lines = render([web({ sessionAffinity: 'ClientIP' })], [slice(['10.244.0.2', '10.244.0.1'])]);
  const declared = new Set(
    lines.filter((line) => line.startsWith(':')).map((line) => line.slice(1).split(' ')[0]),
  );
  for (const line of lines.filter((one) => one.startsWith('-A'))) {
    const chain = line.split(' ')[1];
    const target = /-j (HF-\S+)/.exec(line)?.[1];
    expect(declared).toContain(chain);
    if (target) expect(declared).toContain(target);
  }
  expect(lines.filter((line) => line === 'COMMIT')).toHaveLength(2);
});

test('without a ready endpoint it is refused; one that ends but serves is better than that', () => {
  const rejects = (lines: string[]) =>
    lines.filter((line) => line.includes('10.96.0.9') && line.includes('REJECT'));
  expect(rejects(render([web()], []))).toHaveLength(1);
  expect(rejects(render([web()], [slice(['10.244.0.2'], {}, { ready: false })]))).toHaveLength(1);
  const ending = { ready: false, serving: true, terminating: true };
  expect(dnats(render([web()], [slice(['10.244.0.2'], {}, ending)]))).toHaveLength(1);
});

test('ports are matched by name and protocol; other address families are left out', () => {
  const named = web({
    ports: [
      { name: 'a', port: 80 },
      { name: 'b', port: 53, protocol: 'UDP' },
    ],
  });
  const ports = [
    { name: 'b', port: 5353, protocol: 'UDP' },
    { name: 'a', port: 8080, protocol: 'TCP' },
  ];
  const lines = render(
    [named],
    [slice(['10.244.0.2'], { ports }), slice(['fd00::1'], { addressType: 'IPv6', ports })],
  );
  expect(dnats(lines).map(bare)).toEqual([
    '-A SVC -p tcp -m tcp -j DNAT --to-destination 10.244.0.2:8080',
    '-A SVC -p udp -m udp -j DNAT --to-destination 10.244.0.2:5353',
  ]);
});

test('internalTrafficPolicy Local keeps to this node', () => {
  const lines = render([web({ internalTrafficPolicy: 'Local' })], [slice(['10.244.0.1', '10.244.0.2'])]);
  expect(dnats(lines)).toHaveLength(1);
  expect(dnats(lines)[0]).toContain('10.244.0.1:8080');
});

test('headless and external services need no rules', () => {
  const lines = render([web({ clusterIP: 'None' }), web({ type: 'ExternalName' })], [slice(['10.244.0.1'])]);
  expect(lines.some((line) => line.includes('--dport'))).toBe(false);
});

test('the order in which things come does not change the text', () => {
  const a = web();
  const b: Service = {
    metadata: { namespace: 'a', name: 'other' },
    spec: { clusterIP: '10.96.0.8', ports: [{ port: 1 }] },
  };
  expect(render([a, b], [slice(['10.244.0.2', '10.244.0.1'])])).toEqual(
    render([b, a], [slice(['10.244.0.1', '10.244.0.2'])]),
  );
});

import type { Node, Pod } from 'kubernetes-types/core/v1.js';
import { expect, test } from 'vitest';
import type { Stored } from '../../api/resource.ts';
import { missingResources, podRequests, allocatable } from './node-resources.ts';
import { byDeletionOrder } from './pod-ranking.ts';
import { sameTemplate, templateHash } from './pod-template.ts';
import { evictionDueMs } from './taint-eviction.ts';
import { tolerates, untoleratedTaint } from './tolerations.ts';

const taint = { key: 'k', value: 'v', effect: 'NoSchedule' };

test.each([
  [{ key: 'k', operator: 'Equal', value: 'v', effect: 'NoSchedule' }, true],
  [{ key: 'k', value: 'v' }, true],
  [{ key: 'k', operator: 'Exists' }, true],
  [{ operator: 'Exists' }, true],
  [{ key: 'k', operator: 'Exists', effect: 'NoExecute' }, false],
  [{ key: 'k', value: 'other' }, false],
  [{ key: 'other', operator: 'Exists' }, false],
  [{ value: 'v' }, false],
  [{ key: 'k', operator: 'Near', value: 'v' }, false],
])('%j takes the taint: %s', (toleration, expected) => {
  expect(tolerates(toleration, taint)).toBe(expected);
  expect(untoleratedTaint([taint], [toleration], ['NoSchedule'])).toEqual(expected ? undefined : taint);
});

const cpu = (amount: string, restartPolicy?: string) => ({
  name: 'c',
  resources: { requests: { cpu: amount } },
  ...(restartPolicy ? { restartPolicy } : {}),
});

test('a pod asks for its containers, or for its largest init step, with sidecars counted as they start', () => {
  const pod = (containers: object[], initContainers: object[] = []) =>
    ({ spec: { containers, initContainers } }) as unknown as Pod;
  const ask = (one: Pod) => podRequests(one).get('cpu');
  expect(ask(pod([cpu('100m'), cpu('200m')]))).toBe(300n);
  expect(ask(pod([cpu('100m')], [cpu('500m')]))).toBe(500n);
  expect(ask(pod([cpu('100m')], [cpu('50m', 'Always'), cpu('500m')]))).toBe(550n);
  expect(ask(pod([cpu('100m')], [cpu('500m'), cpu('50m', 'Always')]))).toBe(500n);
  expect(ask({ spec: { containers: [{ name: 'c', resources: { limits: { cpu: '1' } } }] } })).toBe(1000n);
});

test('what a node does not name it does not have, and nothing asked is always there', () => {
  const node = { status: { allocatable: { cpu: '1' } } } as unknown as Node;
  expect(missingResources(new Map([['cpu', 600n]]), new Map([['cpu', 500n]]), allocatable(node))).toEqual([
    'cpu',
  ]);
  expect(missingResources(new Map([['gpu', 1n]]), new Map(), allocatable(node))).toEqual(['gpu']);
  expect(missingResources(new Map([['gpu', 0n]]), new Map(), allocatable(node))).toEqual([]);
});

const pod = (name: string, fields: object = {}, annotations = {}): Stored<Pod> =>
  ({
    metadata: { name, uid: name, annotations, creationTimestamp: '2026-01-01T00:00:00Z' },
    spec: { nodeName: 'n1' },
    status: {
      phase: 'Running',
      conditions: [{ type: 'Ready', status: 'True', lastTransitionTime: '2026-01-01T00:00:00Z' }],
    },
    ...fields,
  }) as unknown as Stored<Pod>;

test('a smaller set gives up what serves least', () => {
  const order = byDeletionOrder(
    [
      pod('good'),
      pod('dear', {}, { 'controller.kubernetes.io/pod-deletion-cost': '10' }),
      pod('cheap', {}, { 'controller.kubernetes.io/pod-deletion-cost': '-10' }),
      pod('pending', { status: { phase: 'Pending' } }),
      pod('unplaced', { spec: {}, status: { phase: 'Pending' } }),
      pod('unready', { status: { phase: 'Running' } }),
    ],
    [],
    () => 0,
  ).map((one) => one.metadata.name);
  expect(order).toEqual(['unplaced', 'pending', 'unready', 'cheap', 'good', 'dear']);
});

test('a pod leaves after the shortest of its times, never where it tolerates for ever', () => {
  const timeAdded = '2026-01-01T00:00:00Z';
  const atMs = Date.parse(timeAdded);
  const node = (key: string): Node => ({ spec: { taints: [{ key, effect: 'NoExecute', timeAdded }] } });
  const due = (tolerations: object[], key = 'x') =>
    evictionDueMs(pod('a', { spec: { tolerations } }), node(key), atMs + 5);
  const x = { key: 'x', operator: 'Exists' };
  expect(due([])).toBe(atMs + 5);
  expect(due([x])).toBeUndefined();
  expect(
    due([
      { ...x, tolerationSeconds: 30 },
      { ...x, tolerationSeconds: 10 },
    ]),
  ).toBe(atMs + 10_000);
  expect(due([{ ...x, tolerationSeconds: -5 }])).toBe(atMs);
  expect(due([], 'node.kubernetes.io/unreachable')).toBe(atMs + 300_000);
});

test('a template’s hash is a label, the same for any order of keys, another for each collision', () => {
  const hash = templateHash({ a: 1, b: { c: 2, d: 3 } });
  expect(hash).toMatch(/^[a-z0-9]{10}$/);
  expect(templateHash({ b: { d: 3, c: 2 }, a: 1 })).toBe(hash);
  expect(templateHash({ a: 1, b: { c: 2, d: 3 } }, 1)).not.toBe(hash);
});

test('templates are the same whatever way their emptiness is written', () => {
  const plain = { metadata: { labels: { app: 'a' } }, spec: { containers: [{ name: 'c', image: 'x' }] } };
  const fromGo = {
    metadata: { labels: { app: 'a', 'pod-template-hash': 'h' }, creationTimestamp: null },
    spec: { containers: [{ name: 'c', image: 'x', resources: {} }], securityContext: {} },
  } as unknown as typeof plain;
  expect(sameTemplate(plain, fromGo, 'pod-template-hash')).toBe(true);
  const other = { ...plain, spec: { containers: [{ name: 'c', image: 'y' }] } };
  expect(sameTemplate(plain, other, 'pod-template-hash')).toBe(false);
});

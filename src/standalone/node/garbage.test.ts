import { expect, test } from 'vitest';
import { deadLeftovers } from './garbage.ts';
import type { ObservedContainer, ObservedPod, ObservedSandbox } from './observed.ts';

const container = (id: string, state: ObservedContainer['state'], sandboxId = 's1'): ObservedContainer => ({
  id,
  name: id.slice(0, 1),
  attempt: 0,
  sandboxId,
  state,
  createdAtMs: 0,
  image: '',
  imageId: '',
  logPath: '',
});
const sandbox = (id: string, ready = false): ObservedSandbox => ({
  id,
  attempt: 0,
  ready,
  createdAtMs: 0,
  ips: [],
});
const left = (pod: Pick<ObservedPod, 'containers' | 'sandboxes'>) => {
  const found = deadLeftovers({ uid: 'u', name: 'p', namespace: 'd', ...pod });
  return [found.containers.map((one) => one.id), found.sandboxes];
};

test('what runs and the end before it are kept; older ends go', () => {
  const containers = [
    container('a3', 'running'),
    container('a2', 'exited'),
    container('a1', 'exited'),
    container('b1', 'exited'),
    container('a0', 'exited'),
  ];
  expect(left({ containers, sandboxes: [sandbox('s1', true)] })).toEqual([['a1', 'a0'], []]);
});

test('a container that still runs is never garbage, however many newer ones there are', () => {
  const containers = [
    container('a3', 'exited'),
    container('a2', 'exited'),
    container('a1', 'running'),
    container('a0', 'unknown'),
  ];
  expect(left({ containers, sandboxes: [] })[0]).toEqual([]);
});

test('an old sandbox goes once no container that is kept was in it; the newest stays', () => {
  const containers = [
    container('a2', 'running', 's3'),
    container('a1', 'exited', 's2'),
    container('a0', 'exited', 's1'),
  ];
  const sandboxes = [sandbox('s3', true), sandbox('s2'), sandbox('s1')];
  expect(left({ containers, sandboxes })).toEqual([['a0'], ['s1']]);
  expect(left({ containers: [], sandboxes: [sandbox('s1')] })[1]).toEqual([]);
  expect(left({ containers: [], sandboxes: [sandbox('s2'), sandbox('s1', true)] })[1]).toEqual([]);
});

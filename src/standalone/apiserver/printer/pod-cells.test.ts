import type { ContainerStatus, Pod, PodSpec, PodStatus } from 'kubernetes-types/core/v1.js';
import { expect, test } from 'vitest';
import type { ApiObject } from '../kind.ts';
import { podPrinters } from './pod-cells.ts';

const nowMs = Date.parse('2026-03-01T12:00:00Z');
const at = (minutesAgo: number) => new Date(nowMs - minutesAgo * 60_000).toISOString();

interface Given {
  readonly spec?: Partial<PodSpec>;
  readonly status?: PodStatus;
  readonly metadata?: Pod['metadata'];
}

/** Name, Ready, Status, Restarts, Age, and so on. */
function cells({ spec, status, metadata }: Given) {
  const pod = {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'web', creationTimestamp: at(30), ...metadata },
    spec: { containers: [{ name: 'a', image: 'busybox' }], ...spec },
    status: { phase: 'Pending', ...status },
  };
  return podPrinters['Pod']?.cells(pod as unknown as ApiObject, nowMs) ?? [];
}

const container = (name: string, more: object): ContainerStatus =>
  ({ name, image: 'busybox', imageID: '', ready: false, restartCount: 0, ...more }) as ContainerStatus;
const running = (name: string, more: object = {}) =>
  container(name, { ready: true, started: true, state: { running: { startedAt: at(9) } }, ...more });
const waiting = (name: string, reason: string, more: object = {}) =>
  container(name, { state: { waiting: { reason } }, ...more });
const ended = (name: string, terminated: object, more: object = {}) =>
  container(name, { state: { terminated }, ...more });
const initialized = [{ type: 'Initialized', status: 'True' }];
const two = { initContainers: [{ name: 'i0' }, { name: 'i1' }] };
const shown = (given: Given) => cells(given).slice(1, 4).join(' | ');

test('a running pod, with what -o wide adds', () => {
  const status = { phase: 'Running', podIP: '10.244.0.7', containerStatuses: [running('a')] };
  expect(cells({ spec: { nodeName: 'node1' }, status })).toEqual([
    'web',
    '1/1',
    'Running',
    '0',
    '30m',
    '10.244.0.7',
    'node1',
    '<none>',
    '<none>',
  ]);
});

test('a pod that no node has taken yet', () => {
  expect(shown({})).toBe('0/1 | Pending | 0');
  const gated = [{ type: 'PodScheduled', status: 'False', reason: 'SchedulingGated' }];
  expect(shown({ status: { conditions: gated } })).toBe('0/1 | SchedulingGated | 0');
});

test('init containers one after another', () => {
  const status = (...initContainerStatuses: ContainerStatus[]) => ({
    initContainerStatuses,
    containerStatuses: [waiting('a', 'PodInitializing')],
  });
  const show = (...list: ContainerStatus[]) => shown({ spec: two, status: status(...list) });
  const done = ended('i0', { exitCode: 0, reason: 'Completed' });
  expect(show(waiting('i0', 'PodInitializing'), waiting('i1', 'PodInitializing'))).toBe('0/1 | Init:0/2 | 0');
  expect(show(done, running('i1', { ready: false }))).toBe('0/1 | Init:1/2 | 0');
  expect(show(done, ended('i1', { exitCode: 0 }))).toBe('0/1 | PodInitializing | 0');
  expect(show(ended('i0', { exitCode: 3 }))).toBe('0/1 | Init:ExitCode:3 | 0');
  expect(show(ended('i0', { exitCode: 137, signal: 9 }))).toBe('0/1 | Init:Signal:9 | 0');
  const lastState = { terminated: { exitCode: 1, finishedAt: at(1) } };
  expect(show(waiting('i0', 'CrashLoopBackOff', { restartCount: 4, lastState }))).toBe(
    '0/1 | Init:CrashLoopBackOff | 4 (60s ago)',
  );
});

test('restarts of init containers stop counting once they are through, those of sidecars go on', () => {
  const spec: Partial<PodSpec> = {
    initContainers: [{ name: 'i0' }, { name: 'side', restartPolicy: 'Always' }],
  };
  const status = {
    phase: 'Running',
    conditions: initialized,
    initContainerStatuses: [
      ended('i0', { exitCode: 0 }, { restartCount: 5 }),
      running('side', { restartCount: 1, lastState: { terminated: { exitCode: 1, finishedAt: at(7) } } }),
    ],
    containerStatuses: [running('a')],
  };
  expect(shown({ spec, status })).toBe('2/2 | Running | 1 (7m ago)');
});

test('trouble of containers shows before the phase', () => {
  const show = (status: ContainerStatus, phase = 'Running') =>
    shown({ status: { phase, containerStatuses: [status] } });
  expect(show(waiting('a', 'ContainerCreating'), 'Pending')).toBe('0/1 | ContainerCreating | 0');
  expect(show(waiting('a', 'ImagePullBackOff'), 'Pending')).toBe('0/1 | ImagePullBackOff | 0');
  const lastState = { terminated: { exitCode: 1, finishedAt: at(5) } };
  expect(show(waiting('a', 'CrashLoopBackOff', { restartCount: 3, lastState }))).toBe(
    '0/1 | CrashLoopBackOff | 3 (5m ago)',
  );
  expect(show(ended('a', { exitCode: 0, reason: 'Completed' }), 'Succeeded')).toBe('0/1 | Completed | 0');
  expect(show(ended('a', { exitCode: 2, reason: 'Error' }), 'Failed')).toBe('0/1 | Error | 0');
  expect(show(ended('a', { exitCode: 2 }), 'Failed')).toBe('0/1 | ExitCode:2 | 0');
  expect(shown({ status: { phase: 'Failed', reason: 'Evicted' } })).toBe('0/1 | Evicted | 0');
});

test('of several containers the first one in trouble is named; one that completed is not trouble', () => {
  const spec = { containers: [{ name: 'a' }, { name: 'b' }] };
  const show = (statuses: ContainerStatus[], conditions = initialized) =>
    shown({ spec, status: { phase: 'Running', conditions, containerStatuses: statuses } });
  expect(show([waiting('a', 'ErrImagePull'), waiting('b', 'CrashLoopBackOff')])).toBe(
    '0/2 | ErrImagePull | 0',
  );
  const mixed = [ended('a', { exitCode: 0, reason: 'Completed' }), running('b')];
  expect(show(mixed)).toBe('1/2 | NotReady | 0');
  expect(show(mixed, [{ type: 'Ready', status: 'True' }])).toBe('1/2 | Running | 0');
});

test('a pod that is going away', () => {
  const metadata = { deletionTimestamp: at(0) };
  const statuses = { phase: 'Running', containerStatuses: [running('a')] };
  expect(shown({ metadata, status: statuses })).toBe('1/1 | Terminating | 0');
  expect(shown({ metadata, status: { ...statuses, reason: 'NodeLost' } })).toBe('1/1 | Unknown | 0');
  const done = [ended('a', { exitCode: 0, reason: 'Completed' })];
  expect(shown({ metadata, status: { phase: 'Succeeded', containerStatuses: done } })).toBe(
    '0/1 | Completed | 0',
  );
});

test('readiness gates', () => {
  const spec = { readinessGates: [{ conditionType: 'x.io/a' }, { conditionType: 'x.io/b' }] };
  const conditions = [{ type: 'x.io/a', status: 'True' }];
  expect(cells({ spec, status: { conditions } })[8]).toBe('1/2');
});

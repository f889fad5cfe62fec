import type { Pod, PodStatus } from 'kubernetes-types/core/v1.js';
import { describe, expect, test } from 'vitest';
import { emptyPod, type ObservedContainer, type ObservedPod } from './observed.ts';
import { qosClass } from './pod-phase.ts';
import { podStatus, type WaitingNote } from './pod-status.ts';

const nowMs = Date.UTC(2026, 0, 1, 0, 1);
const pod = (spec: object = {}, status: PodStatus = {}, metadata: object = {}): Pod => ({
  metadata: { name: 'p', namespace: 'd', uid: 'u', ...metadata },
  spec: { containers: [{ name: 'main', image: 'img' }], ...spec },
  status,
});
const container = (over: Partial<ObservedContainer>): ObservedContainer => ({
  id: `${over.name ?? 'main'}${over.attempt ?? 0}`,
  name: 'main',
  attempt: 0,
  sandboxId: 's',
  state: 'running',
  createdAtMs: nowMs - 60_000,
  startedAtMs: nowMs - 60_000,
  image: 'img',
  imageId: 'sha256:1',
  logPath: '',
  ...over,
});
const exited = (exitCode: number, over: Partial<ObservedContainer> = {}) =>
  container({ state: 'exited', exitCode, finishedAtMs: nowMs - 1_000, ...over });
const sandbox = { id: 's', attempt: 0, ready: true, createdAtMs: 1, ips: ['10.1.1.1'] };

function status(
  own: Pod,
  containers: ObservedContainer[],
  over: { ready?: boolean; waiting?: [string, WaitingNote][]; sandboxes?: ObservedPod['sandboxes'] } = {},
) {
  return podStatus({
    pod: own,
    runtime: { ...emptyPod('u', 'd', 'p'), sandboxes: over.sandboxes ?? [sandbox], containers },
    nowMs,
    hostIp: '1.1.1.1',
    waiting: new Map(over.waiting),
    terminationMessages: new Map([['main0', 'last words']]),
    ready: () => over.ready ?? true,
    started: () => true,
  });
}
const conditionOf = (found: PodStatus, type: string) => found.conditions?.find((one) => one.type === type);

test('nothing is there yet', () => {
  const found = status(pod(), [], { sandboxes: [] });
  expect(found).toMatchObject({ phase: 'Pending', hostIP: '1.1.1.1', startTime: '2026-01-01T00:01:00Z' });
  expect(found.podIP).toBeUndefined();
  expect(found.containerStatuses?.[0]?.state).toEqual({ waiting: { reason: 'ContainerCreating' } });
  expect(conditionOf(found, 'Ready')).toMatchObject({
    status: 'False',
    reason: 'ContainersNotReady',
    message: 'containers with unready status: [main]',
  });
});

test('running and ready', () => {
  const found = status(pod(), [container({})]);
  expect(found).toMatchObject({ phase: 'Running', podIP: '10.1.1.1', podIPs: [{ ip: '10.1.1.1' }] });
  expect(found.containerStatuses?.[0]).toMatchObject({
    ready: true,
    started: true,
    restartCount: 0,
    containerID: 'containerd://main0',
    state: { running: { startedAt: '2026-01-01T00:00:00Z' } },
  });
  expect(conditionOf(found, 'Ready')?.status).toBe('True');
});

test('a condition that stays keeps its time, others of other writers are left alone', () => {
  const since = '2020-01-01T00:00:00Z';
  const old = [
    { type: 'Ready', status: 'True', lastTransitionTime: since },
    { type: 'example.com/gate', status: 'True', lastTransitionTime: since },
  ];
  const found = status(pod({}, { conditions: old }), [container({})]);
  expect(conditionOf(found, 'Ready')?.lastTransitionTime).toBe(since);
  expect(conditionOf(found, 'example.com/gate')?.status).toBe('True');
});

test('a readiness gate that is not met keeps the pod from being ready', () => {
  const found = status(pod({ readinessGates: [{ conditionType: 'example.com/gate' }] }), [container({})]);
  expect(conditionOf(found, 'Ready')).toMatchObject({ status: 'False', reason: 'ReadinessGatesNotReady' });
  expect(conditionOf(found, 'ContainersReady')?.status).toBe('True');
});

test('in a crash loop: waiting now, the end as the last state, still Running', () => {
  const note: [string, WaitingNote] = ['main', { reason: 'CrashLoopBackOff', message: 'back-off 10s' }];
  const found = status(pod(), [exited(3)], { waiting: [note] });
  expect(found.phase).toBe('Running');
  expect(found.containerStatuses?.[0]).toMatchObject({
    ready: false,
    state: { waiting: { reason: 'CrashLoopBackOff' } },
    lastState: {
      terminated: { exitCode: 3, reason: 'Error', message: 'last words', finishedAt: '2026-01-01T00:00:59Z' },
    },
  });
});

test('restarted: the count, and the end before', () => {
  const found = status(pod(), [container({ attempt: 2 }), exited(137, { attempt: 1, reason: 'OOMKilled' })]);
  expect(found.containerStatuses?.[0]).toMatchObject({
    restartCount: 2,
    lastState: { terminated: { exitCode: 137, reason: 'OOMKilled' } },
  });
});

describe('phases', () => {
  test.each([
    ['Always', 0, 'Running'],
    ['Always', 1, 'Running'],
    ['OnFailure', 0, 'Succeeded'],
    ['OnFailure', 1, 'Running'],
    ['Never', 0, 'Succeeded'],
    ['Never', 1, 'Failed'],
  ])('%s and exit %i is %s', (restartPolicy, code, phase) => {
    expect(status(pod({ restartPolicy }), [exited(code)]).phase).toBe(phase);
  });
  test('a failed init container fails a pod that does not restart', () => {
    const spec = { restartPolicy: 'Never', initContainers: [{ name: 'init' }] };
    expect(status(pod(spec), [exited(1, { name: 'init' })]).phase).toBe('Failed');
    expect(status(pod({ ...spec, restartPolicy: 'Always' }), [exited(1, { name: 'init' })]).phase).toBe(
      'Pending',
    );
  });
  test('what is over stays over', () => {
    expect(status(pod({}, { phase: 'Failed' }), [container({})]).phase).toBe('Failed');
  });
  test('deleted and stopped, a pod ends by its exit codes', () => {
    const gone = { deletionTimestamp: '2026-01-01T00:00:00Z' };
    expect(status(pod({}, {}, gone), [exited(0)]).phase).toBe('Succeeded');
    expect(status(pod({}, {}, gone), [exited(137)]).phase).toBe('Failed');
    expect(status(pod({}, {}, gone), [container({})]).phase).toBe('Running');
  });
});

test('while init containers run, the mains wait for them', () => {
  const found = status(pod({ initContainers: [{ name: 'a' }, { name: 'b' }] }), [exited(0, { name: 'a' })]);
  expect(found.initContainerStatuses?.map((one) => one.ready)).toEqual([true, false]);
  expect(found.containerStatuses?.[0]?.state?.waiting?.reason).toBe('PodInitializing');
  expect(conditionOf(found, 'Initialized')).toMatchObject({
    status: 'False',
    message: 'containers with incomplete status: [b]',
  });
});

test('a container that the runtime has lost is not forgotten', () => {
  const recorded = {
    name: 'main',
    image: 'img',
    imageID: 'i',
    ready: true,
    restartCount: 4,
    containerID: 'containerd://x',
    state: { running: { startedAt: '2025-01-01T00:00:00Z' } },
  };
  const found = status(pod({}, { containerStatuses: [recorded] }), [], { sandboxes: [] });
  expect(found.containerStatuses?.[0]).toMatchObject({
    restartCount: 4,
    ready: false,
    lastState: { terminated: { reason: 'ContainerStatusUnknown', exitCode: 137 } },
  });
});

test('quality of service', () => {
  const withResources = (resources: object) => qosClass(pod({ containers: [{ name: 'c', resources }] }));
  expect(withResources({})).toBe('BestEffort');
  expect(withResources({ requests: { cpu: '1' } })).toBe('Burstable');
  expect(withResources({ limits: { cpu: '1', memory: '1Gi' } })).toBe('Guaranteed');
  expect(withResources({ limits: { cpu: '1', memory: '1Gi' }, requests: { cpu: '500m' } })).toBe('Burstable');
  expect(
    withResources({ limits: { cpu: '1', memory: '1Gi' }, requests: { cpu: '1000m', memory: '1024Mi' } }),
  ).toBe('Guaranteed');
});

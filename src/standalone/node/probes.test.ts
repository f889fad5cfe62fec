import type { Pod, Probe } from 'kubernetes-types/core/v1.js';
import { expect, test } from 'vitest';
import { virtualClock } from '../../lib/clock.ts';
import { emptyPod, type ObservedContainer, type ObservedPod } from './observed.ts';
import { podProbes, type ProbeKind } from './probes.ts';

function bench(probes: Partial<Record<`${ProbeKind}Probe`, Probe>>, status: Pod['status'] = {}) {
  const clock = virtualClock();
  const pod: Pod = { metadata: { uid: 'u' }, spec: { containers: [{ name: 'main', ...probes }] }, status };
  const container: ObservedContainer = {
    id: 'c0',
    name: 'main',
    attempt: 0,
    sandboxId: 's',
    state: 'running',
    createdAtMs: clock.now(),
    startedAtMs: clock.now(),
    image: '',
    imageId: '',
    logPath: '',
  };
  const runtime: ObservedPod = { ...emptyPod('u', 'd', 'p'), containers: [container] };
  const answers: Record<ProbeKind, boolean> = { startup: true, liveness: true, readiness: true };
  const runs: ProbeKind[] = [];
  const unhealthy: string[] = [];
  const own = podProbes({
    clock,
    run: (kind) => {
      runs.push(kind);
      return Promise.resolve({ ok: answers[kind], output: 'said so' });
    },
    onChange: () => undefined,
    onUnhealthy: (kind, _, output) => unhealthy.push(`${kind}: ${output}`),
  });
  own.sync(pod, runtime);
  return { clock, pod, container, runtime, answers, runs, unhealthy, own };
}
const exec = { exec: { command: ['true'] } };

test('without probes a running container is started and ready at once', () => {
  const { own, container } = bench({});
  expect([own.started(container), own.ready(container)]).toEqual([true, true]);
});

test('readiness waits for the first success, and is lost after failureThreshold failures', async () => {
  const { own, clock, container, answers, unhealthy } = bench({
    readinessProbe: { ...exec, initialDelaySeconds: 5, periodSeconds: 2 },
  });
  await clock.advance(4_900);
  expect(own.ready(container)).toBe(false);
  await clock.advance(200);
  expect(own.ready(container)).toBe(true);
  answers.readiness = false;
  await clock.advance(4_000);
  expect(own.ready(container)).toBe(true);
  await clock.advance(2_000);
  expect(own.ready(container)).toBe(false);
  expect(unhealthy).toHaveLength(3);
  expect(own.condemned.size).toBe(0);
});

test('liveness condemns after three failures, and not before startup has passed', async () => {
  const { own, clock, container, answers, runs } = bench({
    livenessProbe: { ...exec, periodSeconds: 1 },
    startupProbe: { ...exec, initialDelaySeconds: 1, periodSeconds: 1, failureThreshold: 30 },
  });
  answers.startup = false;
  answers.liveness = false;
  await clock.advance(10_000);
  expect(runs).not.toContain('liveness');
  expect(own.started(container)).toBe(false);
  answers.startup = true;
  await clock.advance(1_500);
  expect(own.started(container)).toBe(true);
  await clock.advance(4_000);
  expect(own.condemned.get('c0')).toBe('Container main failed liveness probe, will be restarted');
});

test('a startup probe that never passes condemns', async () => {
  const { own, clock, answers } = bench({
    startupProbe: { ...exec, initialDelaySeconds: 1, periodSeconds: 1, failureThreshold: 3 },
  });
  answers.startup = false;
  await clock.advance(3_500);
  expect(own.condemned.get('c0')).toContain('failed startup probe');
});

test('readiness is taken over from the status of the same container after a restart of the node', () => {
  const recorded = {
    name: 'main',
    containerID: 'containerd://c0',
    ready: true,
    started: true,
    restartCount: 0,
    image: '',
    imageID: '',
  };
  const { own, container } = bench(
    { readinessProbe: { ...exec, initialDelaySeconds: 60 } },
    { containerStatuses: [recorded] },
  );
  expect(own.ready(container)).toBe(true);
});

test('a container that is gone is no longer probed', async () => {
  const { own, clock, pod, runtime, runs } = bench({ livenessProbe: { ...exec, periodSeconds: 1 } });
  await clock.advance(1_500);
  own.sync(pod, { ...runtime, containers: [] });
  const before = runs.length;
  await clock.advance(5_000);
  expect(runs.length).toBe(before);
  expect(clock.sleeping).toBe(0);
});

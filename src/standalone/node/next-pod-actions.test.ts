import type { Pod } from 'kubernetes-types/core/v1.js';
import { describe, expect, test } from 'vitest';
import { nextPodActions, type PodSituation } from './next-pod-actions.ts';
import { emptyPod, type ObservedContainer, type ObservedPod, type ObservedSandbox } from './observed.ts';

const nowMs = 1_000_000;
const main = { name: 'main', image: 'busybox' };

function pod(spec: Partial<NonNullable<Pod['spec']>> = {}, status: Pod['status'] = {}): Pod {
  return { metadata: { name: 'p', namespace: 'd', uid: 'u' }, spec: { containers: [main], ...spec }, status };
}
const sandbox = (over: Partial<ObservedSandbox> = {}): ObservedSandbox => ({
  id: 's0',
  attempt: 0,
  ready: true,
  createdAtMs: 1,
  ips: [],
  ...over,
});
const container = (over: Partial<ObservedContainer> = {}): ObservedContainer => ({
  id: `${over.name ?? 'main'}-${over.attempt ?? 0}`,
  name: 'main',
  attempt: 0,
  sandboxId: 's0',
  state: 'running',
  createdAtMs: 10 + (over.attempt ?? 0),
  image: 'busybox',
  imageId: 'sha256:1',
  logPath: '',
  ...over,
});
const exited = (exitCode: number, over: Partial<ObservedContainer> = {}) =>
  container({ state: 'exited', exitCode, finishedAtMs: nowMs - 1000, ...over });

function situation(runtime: Partial<ObservedPod>, over: Partial<PodSituation> = {}): PodSituation {
  return {
    nowMs,
    runtime: { ...emptyPod('u', 'd', 'p'), ...runtime },
    volumesMounted: true,
    volumesOnDisk: false,
    filesOnDisk: false,
    startHeldUntilMs: new Map(),
    crashHeldUntilMs: () => undefined,
    started: () => true,
    condemned: new Map(),
    terminal: false,
    deleted: false,
    graceSeconds: 30,
    ...over,
  };
}
const kinds = (p: Pod, s: PodSituation) => nextPodActions(p, s).actions.map((action) => action.kind);
const starts = (p: Pod, s: PodSituation) =>
  nextPodActions(p, s).actions.flatMap((action) =>
    action.kind === 'start-container' ? [`${action.name}#${action.attempt}`] : [],
  );

describe('starting', () => {
  test('volumes and the sandbox come first, then the containers', () => {
    const bare = situation({}, { volumesMounted: false });
    expect(kinds(pod(), bare)).toEqual(['mount-volumes', 'run-sandbox']);
    const unmounted = situation({ sandboxes: [sandbox()] }, { volumesMounted: false });
    expect(kinds(pod(), unmounted)).toEqual(['mount-volumes']);
    expect(kinds(pod(), situation({}))).toEqual(['run-sandbox']);
    expect(starts(pod(), situation({ sandboxes: [sandbox()] }))).toEqual(['main#0']);
    expect(kinds(pod(), situation({ sandboxes: [sandbox()], containers: [container()] }))).toEqual([]);
  });

  test('a failed mount is not tried again before its time, and the wake says when', () => {
    const held = situation({}, { volumesMounted: false, volumesHeldUntilMs: nowMs + 500 });
    expect(nextPodActions(pod(), held)).toEqual({ actions: [], wakeAtMs: nowMs + 500 });
  });

  test('while mounts fail an unused sandbox goes, and another comes once they are there', () => {
    const failed = (untilMs: number) => ({ volumesMounted: false, volumesHeldUntilMs: untilMs });
    const idle = { sandboxes: [sandbox()] };
    expect(kinds(pod(), situation(idle, failed(nowMs + 1)))).toEqual(['stop-sandboxes', 'remove-sandboxes']);
    expect(kinds(pod(), situation({}, failed(nowMs)))).toEqual(['mount-volumes']);
    expect(kinds(pod(), situation({}))).toEqual(['run-sandbox']);
    // One that is used, or was, stays: its containers run on, or tell how they ended.
    for (const one of [container(), exited(1)])
      expect(kinds(pod(), situation({ ...idle, containers: [one] }, failed(nowMs + 1)))).toEqual([]);
  });

  test('while volumes are unproven after a restart of the node, nothing running is touched', () => {
    const seen = situation({ sandboxes: [sandbox()], containers: [container()] }, { volumesMounted: false });
    expect(kinds(pod(), seen)).toEqual(['mount-volumes']);
  });

  test('init containers run one after the other, and mains wait for all of them', () => {
    const spec = {
      initContainers: [
        { name: 'a', image: 'x' },
        { name: 'b', image: 'x' },
      ],
    };
    const sandboxes = [sandbox()];
    expect(starts(pod(spec), situation({ sandboxes }))).toEqual(['a#0']);
    expect(starts(pod(spec), situation({ sandboxes, containers: [container({ name: 'a' })] }))).toEqual([]);
    expect(starts(pod(spec), situation({ sandboxes, containers: [exited(0, { name: 'a' })] }))).toEqual([
      'b#0',
    ]);
    const both = [exited(0, { name: 'a' }), exited(0, { name: 'b' })];
    expect(starts(pod(spec), situation({ sandboxes, containers: both }))).toEqual(['main#0']);
  });

  test('a failed init container restarts, unless the policy is Never', () => {
    const spec = { initContainers: [{ name: 'a', image: 'x' }] };
    const seen = situation({ sandboxes: [sandbox()], containers: [exited(3, { name: 'a' })] });
    expect(starts(pod(spec), seen)).toEqual(['a#1']);
    expect(starts(pod({ ...spec, restartPolicy: 'Never' }), seen)).toEqual([]);
  });

  test('init containers do not run again once a main container was made in this sandbox', () => {
    const spec = { initContainers: [{ name: 'a', image: 'x' }] };
    expect(starts(pod(spec), situation({ sandboxes: [sandbox()], containers: [exited(1)] }))).toEqual([
      'main#1',
    ]);
  });

  test('a sidecar must have started before what follows it; later it restarts without holding mains', () => {
    const spec = { initContainers: [{ name: 'side', image: 'x', restartPolicy: 'Always' }] };
    const sandboxes = [sandbox()];
    const side = container({ name: 'side' });
    expect(starts(pod(spec), situation({ sandboxes, containers: [side] }, { started: () => false }))).toEqual(
      [],
    );
    expect(starts(pod(spec), situation({ sandboxes, containers: [side] }))).toEqual(['main#0']);
    const later = [exited(1, { name: 'side' }), exited(1)];
    expect(starts(pod(spec), situation({ sandboxes, containers: later }))).toEqual(['side#1', 'main#1']);
  });
});

describe('restarting', () => {
  test.each([
    ['Always', 0, ['main#1']],
    ['Always', 1, ['main#1']],
    ['OnFailure', 0, []],
    ['OnFailure', 1, ['main#1']],
    ['Never', 1, []],
  ])('%s after exit %i', (restartPolicy, code, wanted) => {
    const seen = situation({ sandboxes: [sandbox()], containers: [exited(code)] });
    expect(starts(pod({ restartPolicy }), seen)).toEqual(wanted);
  });

  test('the crash loop is held back, and a start failure too', () => {
    const base = { sandboxes: [sandbox()], containers: [exited(1)] };
    const crash = situation(base, { crashHeldUntilMs: (_, at) => at + 10_000 });
    expect(nextPodActions(pod(), crash)).toEqual({ actions: [], wakeAtMs: nowMs + 9_000 });
    const held = situation({ sandboxes: [sandbox()] }, { startHeldUntilMs: new Map([['main', nowMs + 5]]) });
    expect(nextPodActions(pod(), held)).toEqual({ actions: [], wakeAtMs: nowMs + 5 });
  });

  test('a condemned container is stopped with the probe message; the next look restarts it', () => {
    const seen = situation(
      { sandboxes: [sandbox()], containers: [container()] },
      { condemned: new Map([['main-0', 'failed liveness probe']]) },
    );
    expect(nextPodActions(pod({ terminationGracePeriodSeconds: 7 }), seen).actions).toEqual([
      {
        kind: 'stop-containers',
        stops: [{ id: 'main-0', name: 'main', graceSeconds: 7, message: 'failed liveness probe', round: 0 }],
      },
    ]);
  });

  test('made but never started, it is removed so that its name is free', () => {
    const seen = situation({ sandboxes: [sandbox()], containers: [container({ state: 'created' })] });
    expect(kinds(pod(), seen)).toEqual(['remove-container']);
  });

  test('the count goes on from the API where the runtime has forgotten', () => {
    const status = {
      containerStatuses: [
        { name: 'main', restartCount: 4, containerID: 'containerd://x', image: '', imageID: '', ready: true },
      ],
    };
    expect(starts(pod({}, status), situation({ sandboxes: [sandbox()] }))).toEqual(['main#5']);
  });
});

describe('after a power cut', () => {
  const dead = [sandbox({ ready: false, attempt: 2 })];
  test('a new sandbox comes with the next attempt', () => {
    const seen = situation({ sandboxes: dead, containers: [exited(255)] });
    expect(nextPodActions(pod(), seen).actions).toEqual([{ kind: 'run-sandbox', attempt: 3 }]);
  });
  test('containers of the old sandbox that still live are stopped first', () => {
    const seen = situation({ sandboxes: dead, containers: [container()] });
    expect(kinds(pod(), seen)).toEqual(['stop-containers']);
  });
  test('a pod that does not restart gets none', () => {
    const seen = situation({ sandboxes: dead, containers: [exited(255)] });
    expect(kinds(pod({ restartPolicy: 'Never' }), seen)).toEqual([]);
    const done = situation({ sandboxes: dead, containers: [exited(0)] });
    expect(kinds(pod({ restartPolicy: 'OnFailure' }), done)).toEqual([]);
    expect(kinds(pod({ restartPolicy: 'OnFailure' }), seen)).toEqual(['run-sandbox']);
  });
  test('in the new sandbox init containers run again', () => {
    const spec = { initContainers: [{ name: 'a', image: 'x' }] };
    const seen = situation({
      sandboxes: [sandbox({ id: 's1', attempt: 1 }), sandbox({ ready: false })],
      containers: [exited(255), exited(0, { name: 'a' })],
    });
    expect(starts(pod(spec), seen)).toEqual(['a#1']);
  });
  test('two live sandboxes: the older one goes', () => {
    const seen = situation({ sandboxes: [sandbox({ id: 's1', attempt: 1 }), sandbox()], containers: [] });
    expect(nextPodActions(pod(), seen).actions[0]).toEqual({ kind: 'stop-sandboxes', ids: ['s0'] });
  });
});

describe('stopping', () => {
  const deleted = { deleted: true, volumesOnDisk: true, filesOnDisk: true };
  test('each step waits for the one before', () => {
    expect(kinds(pod(), situation({ sandboxes: [sandbox()], containers: [container()] }, deleted))).toEqual([
      'stop-containers',
    ]);
    expect(kinds(pod(), situation({ sandboxes: [sandbox()], containers: [exited(0)] }, deleted))).toEqual([
      'stop-sandboxes',
    ]);
    const stopped = { sandboxes: [sandbox({ ready: false })], containers: [exited(0)] };
    expect(kinds(pod(), situation(stopped, deleted))).toEqual(['unmount-volumes']);
    expect(kinds(pod(), situation(stopped, { ...deleted, volumesOnDisk: false }))).toEqual([
      'remove-sandboxes',
    ]);
    expect(kinds(pod(), situation({}, { ...deleted, volumesOnDisk: false }))).toEqual(['remove-files']);
    expect(kinds(pod(), situation({}, { deleted: true }))).toEqual(['delete-object']);
  });
  test('the object stays while a volume cannot be unmounted', () => {
    const held = situation({}, { ...deleted, volumesHeldUntilMs: nowMs + 1 });
    expect(nextPodActions(pod(), held)).toEqual({ actions: [], wakeAtMs: nowMs + 1 });
  });
  test('a finished pod keeps its dead containers', () => {
    const seen = situation(
      { sandboxes: [sandbox({ ready: false })], containers: [exited(0)] },
      { terminal: true },
    );
    expect(kinds(pod({ restartPolicy: 'Never' }), seen)).toEqual([]);
  });
  test('sidecars stop after the mains, the last started first', () => {
    const side = (name: string) => ({ name, image: 'x', restartPolicy: 'Always' });
    const seen = situation(
      {
        sandboxes: [sandbox()],
        containers: [container(), container({ name: 'one' }), container({ name: 'two' })],
      },
      { deleted: true },
    );
    const [action] = nextPodActions(pod({ initContainers: [side('one'), side('two')] }), seen).actions;
    expect(action?.kind === 'stop-containers' && action.stops.map((s) => `${s.name}:${s.round}`)).toEqual([
      'main:0',
      'one:2',
      'two:1',
    ]);
  });
});

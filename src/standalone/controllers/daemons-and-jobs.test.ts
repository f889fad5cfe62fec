import type { DaemonSet } from 'kubernetes-types/apps/v1.js';
import type { Job } from 'kubernetes-types/batch/v1.js';
import type { Pod } from 'kubernetes-types/core/v1.js';
import { expect, test } from 'vitest';
import { addNode, startBench, type Bench } from '../../../test/support/controller-bench.ts';
import { ControllerRevisions, DaemonSets, Jobs, Nodes, Pods } from '../../api/core.ts';
import type { Stored } from '../../api/resource.ts';
import { virtualClock } from '../../lib/clock.ts';
import { daemonSetController } from './daemon-set-controller.ts';
import { jobController } from './job-controller.ts';
import { isActive, isReady } from './pod-state.ts';
import { schedulerController } from './scheduler.ts';

const startDaemons = async () =>
  await startBench([
    (manager, environment) => manager.add(daemonSetController(environment)),
    (manager, environment) => manager.add(schedulerController(environment)),
  ]);

const daemon = (spec: Partial<DaemonSet['spec']> = {}): DaemonSet => ({
  metadata: { name: 'plugin', namespace: 'default' },
  spec: {
    selector: { matchLabels: { app: 'plugin' } },
    template: {
      metadata: { labels: { app: 'plugin' } },
      spec: { containers: [{ name: 'c', image: 'one' }] },
    },
    ...spec,
  },
});
const nodesOf = (pods: readonly Pod[]) => pods.map((pod) => pod.spec?.nodeName ?? '-').sort();
const plugin = { namespace: 'default', name: 'plugin' };

test('every fitting node has one daemon pod, cordoned ones and late ones too', async () => {
  const running = await startDaemons();
  await addNode(running, 'n1');
  await addNode(running, 'n2', { spec: { unschedulable: true } });
  await addNode(running, 'n3', { spec: { taints: [{ key: 'x', effect: 'NoSchedule' }] } });
  await running.create(DaemonSets, daemon());
  await running.until(Pods, (pods) => nodesOf(pods).join() === 'n1,n2');
  await addNode(running, 'n4');
  await running.until(Pods, (pods) => nodesOf(pods).join() === 'n1,n2,n4' && pods.every(isReady));
  const set = await running.until(DaemonSets, (sets) => sets[0]?.status?.numberAvailable === 3 && sets[0]);
  expect(set.status).toMatchObject({
    desiredNumberScheduled: 3,
    currentNumberScheduled: 3,
    numberReady: 3,
    updatedNumberScheduled: 3,
    numberMisscheduled: 0,
  });
  await running.merge(Nodes, { name: 'n1' }, { metadata: { labels: { gone: 'yes' } } });
  await running.merge(DaemonSets, plugin, {
    spec: {
      template: {
        spec: {
          affinity: {
            nodeAffinity: {
              requiredDuringSchedulingIgnoredDuringExecution: {
                nodeSelectorTerms: [{ matchExpressions: [{ key: 'gone', operator: 'DoesNotExist' }] }],
              },
            },
          },
        },
      },
    },
  });
  await running.until(Pods, (pods) => nodesOf(pods).join() === 'n2,n4');
});

test('a new template replaces pods one at a time; OnDelete leaves them; rollback reuses its revision', async () => {
  const running = await startDaemons();
  for (const name of ['n1', 'n2', 'n3']) await addNode(running, name);
  await running.create(DaemonSets, daemon());
  await running.until(Pods, (pods) => pods.length === 3 && pods.every(isReady));
  let least = 9;
  const image = (name: string) => ({
    spec: { template: { spec: { containers: [{ name: 'c', image: name }] } } },
  });
  const rolled = running.until(Pods, (pods) => {
    least = Math.min(least, pods.filter((one) => isActive(one) && isReady(one)).length);
    return pods.length === 3 && pods.every((one) => isReady(one) && one.spec?.containers[0]?.image === 'two');
  });
  await running.merge(DaemonSets, plugin, image('two'));
  await rolled;
  expect(least).toBeGreaterThanOrEqual(2);
  await running.merge(DaemonSets, plugin, {
    spec: { updateStrategy: { type: 'OnDelete', rollingUpdate: null } },
  });
  await running.merge(DaemonSets, plugin, image('one'));
  await running.until(
    DaemonSets,
    (sets) =>
      sets[0]?.status?.updatedNumberScheduled === 0 &&
      sets[0].status.observedGeneration === sets[0].metadata.generation,
  );
  const pods = await running.all(Pods);
  expect(pods.map((one) => one.spec?.containers[0]?.image)).toEqual(['two', 'two', 'two']);
  const revisions = await running.all(ControllerRevisions);
  expect(revisions.map((one) => one.revision).sort()).toEqual([2, 3]);
  await running.client.delete(
    Pods,
    { namespace: 'default', name: pods[0]?.metadata.name ?? '' },
    { signal: running.signal },
  );
  await running.until(
    Pods,
    (list) =>
      list.filter((one) => isReady(one) && one.spec?.containers[0]?.image === 'one').length === 1 &&
      list.length === 3,
  );
});

const startJobs = async () => {
  const clock = virtualClock(Date.now());
  const running = await startBench([(manager, environment) => manager.add(jobController(environment))], {
    clock,
    kubelet: false,
  });
  return { running, clock };
};
const job = (spec: Partial<Job['spec']> = {}): Job => ({
  metadata: { name: 'prepare', namespace: 'default' },
  spec: { template: { spec: { restartPolicy: 'Never', containers: [{ name: 'c', image: 'x' }] } }, ...spec },
});
const end = (running: Bench, pod: Stored<Pod>, phase: 'Succeeded' | 'Failed', atMs: number) =>
  running.merge(
    Pods,
    { namespace: 'default', name: pod.metadata.name },
    {
      status: {
        phase,
        containerStatuses: [
          {
            name: 'c',
            image: 'x',
            imageID: '',
            ready: false,
            restartCount: 0,
            state: {
              terminated: { exitCode: phase === 'Failed' ? 1 : 0, finishedAt: new Date(atMs).toISOString() },
            },
          },
        ],
      },
    },
    'status',
  );
const live = (pods: readonly Stored<Pod>[]) =>
  pods.filter((one) => one.status?.phase !== 'Succeeded' && one.status?.phase !== 'Failed');

test('a Job runs as many pods at once as it may until enough have succeeded', async () => {
  const { running, clock } = await startJobs();
  await running.create(Jobs, job({ completions: 3, parallelism: 2 }));
  const first = await running.until(Pods, (pods) => pods.length === 2 && pods);
  expect(first[0]?.metadata.labels).toMatchObject({
    'job-name': 'prepare',
    'batch.kubernetes.io/job-name': 'prepare',
  });
  for (const pod of first) await end(running, pod, 'Succeeded', clock.now());
  const last = await running.until(Pods, (pods) => pods.length === 3 && live(pods)[0]);
  await end(running, last, 'Succeeded', clock.now());
  const over = await running.until(Jobs, (jobs) =>
    jobs.find((one) => one.status?.conditions?.some((c) => c.type === 'Complete' && c.status === 'True')),
  );
  expect(over.status).toMatchObject({ succeeded: 3, active: 0 });
  expect(over.status?.completionTime).toBeDefined();
  expect(await running.all(Pods)).toHaveLength(3);
});

test('failures are tried again later each time, and at the limit the Job fails', async () => {
  const { running, clock } = await startJobs();
  await running.create(Jobs, job({ backoffLimit: 1 }));
  const first = await running.until(Pods, (pods) => pods[0]);
  await end(running, first, 'Failed', clock.now());
  await running.until(Jobs, (jobs) => jobs[0]?.status?.failed === 1);
  await clock.advance(9_000);
  expect(await running.all(Pods)).toHaveLength(1);
  await clock.advance(2_000);
  const second = await running.until(Pods, (pods) => pods.length === 2 && live(pods)[0]);
  await end(running, second, 'Failed', clock.now());
  const failed = await running.until(Jobs, (jobs) =>
    jobs[0]?.status?.conditions?.find((c) => c.type === 'Failed'),
  );
  expect(failed).toMatchObject({
    status: 'True',
    reason: 'BackoffLimitExceeded',
    message: 'Job has reached the specified backoff limit',
  });
  await clock.advance(600_000);
  expect(await running.all(Pods)).toHaveLength(2);
});

test('a Job past its deadline is stopped, and goes after its time to live', async () => {
  const { running, clock } = await startJobs();
  await running.create(Jobs, job({ activeDeadlineSeconds: 30, ttlSecondsAfterFinished: 60 }));
  await running.until(Jobs, (jobs) => jobs[0]?.status?.active === 1);
  await clock.advance(31_000);
  await running.until(Jobs, (jobs) =>
    jobs[0]?.status?.conditions?.some((c) => c.type === 'Failed' && c.reason === 'DeadlineExceeded'),
  );
  await running.until(Pods, (pods) => pods.every((one) => one.metadata.deletionTimestamp));
  await clock.advance(62_000);
  // Without a collector here it only begins to go.
  await running.until(Jobs, (jobs) => jobs.every((one) => one.metadata.deletionTimestamp));
});

test('a suspended Job has no pods until it is resumed', async () => {
  const { running } = await startJobs();
  await running.create(Jobs, job({ suspend: true }));
  await running.until(Jobs, (jobs) =>
    jobs[0]?.status?.conditions?.some((c) => c.type === 'Suspended' && c.status === 'True'),
  );
  expect(await running.all(Pods)).toEqual([]);
  await running.merge(Jobs, { namespace: 'default', name: 'prepare' }, { spec: { suspend: false } });
  await running.until(Pods, (pods) => pods.length === 1);
});

import type { Deployment } from 'kubernetes-types/apps/v1.js';
import { expect, test } from 'vitest';
import { addNode, startBench } from '../../../test/support/controller-bench.ts';
import { Deployments, Events, Pods, ReplicaSets } from '../../api/core.ts';
import { hasCondition } from '../../control/conditions.ts';
import type { KubeClient } from '../../kube/client.ts';
import { deploymentController } from './deployment-controller.ts';
import { isActive, isReady } from './pod-state.ts';
import { replicaSetController } from './replica-set-controller.ts';

const start = async () => {
  const bench = await startBench([
    (manager, environment) => manager.add(deploymentController(environment)),
    (manager, environment) => manager.add(replicaSetController(environment)),
  ]);
  await addNode(bench, 'n1');
  return bench;
};

/** A Deployment whose pods are placed by hand, for no scheduler runs here. */
const deployment = (replicas: number, spec: Partial<Deployment['spec']> = {}, image = 'one'): Deployment => ({
  metadata: { name: 'web', namespace: 'default' },
  spec: {
    replicas,
    selector: { matchLabels: { app: 'web' } },
    template: {
      metadata: { labels: { app: 'web' } },
      spec: { nodeName: 'n1', containers: [{ name: 'c', image }] },
    },
    ...spec,
  },
});
const web = { namespace: 'default', name: 'web' };
const complete = (replicas: number) => (all: readonly Deployment[]) =>
  all.find(
    (one) =>
      one.status?.observedGeneration === one.metadata?.generation &&
      one.status?.updatedReplicas === replicas &&
      one.status.replicas === replicas &&
      one.status.availableReplicas === replicas &&
      one.status.conditions?.some((c) => c.reason === 'NewReplicaSetAvailable'),
  );

test('a Deployment gets its ReplicaSet and pods; one killed comes back', async () => {
  const { client, create, until, all, signal } = await start();
  await create(Deployments, deployment(3));
  const done = await until(Deployments, complete(3));
  expect(hasCondition(done.status?.conditions, 'Available')).toBe(true);
  const pods = await all(Pods);
  expect(pods).toHaveLength(3);
  expect(pods[0]?.metadata.ownerReferences?.[0]).toMatchObject({ kind: 'ReplicaSet', controller: true });

  const [victim] = pods;
  await client.delete(Pods, { namespace: 'default', name: victim?.metadata.name ?? '' }, { signal });
  await until(Pods, (now) => {
    const others = now.filter((pod) => pod.metadata.uid !== victim?.metadata.uid && isReady(pod));
    return others.length === 3 && now.length === 3;
  });
  const events = await until(Events, (list) => list.some((e) => e.reason === 'SuccessfulCreate') && list);
  expect(
    events.some(
      (e) =>
        e.message === `Scaled up replica set ${pods[0]?.metadata.ownerReferences?.[0]?.name} from 0 to 3`,
    ),
  ).toBe(true);
});

test('a new template rolls out without going below or above the limits, and undo goes back', async () => {
  const { create, until, all, merge } = await start();
  const strategy = { type: 'RollingUpdate', rollingUpdate: { maxSurge: 1, maxUnavailable: 0 } };
  await create(Deployments, deployment(3, { strategy }));
  await until(Deployments, complete(3));
  const [first] = await all(ReplicaSets);

  let most = 0;
  let least = 9;
  const watching = until(Pods, (pods) => {
    const active = pods.filter(isActive);
    most = Math.max(most, active.length);
    least = Math.min(least, active.filter(isReady).length);
    return (
      active.length === 3 &&
      active.every((pod) => pod.spec?.containers[0]?.image === 'two') &&
      pods.every(isReady)
    );
  });
  await merge(Deployments, web, {
    spec: { template: { spec: { containers: [{ name: 'c', image: 'two' }] } } },
  });
  await watching;
  await until(Deployments, complete(3));
  expect(most).toBeLessThanOrEqual(4);
  expect(least).toBeGreaterThanOrEqual(3);
  const sets = await all(ReplicaSets);
  expect(
    sets
      .map((one) => [one.spec?.replicas, one.metadata.annotations?.['deployment.kubernetes.io/revision']])
      .sort(),
  ).toEqual([
    [0, '1'],
    [3, '2'],
  ]);

  // What `kubectl rollout undo` does: the old ReplicaSet's template becomes the Deployment's.
  await merge(Deployments, web, {
    spec: { template: { spec: { containers: [{ name: 'c', image: 'one' }] } } },
  });
  const back = await until(Deployments, (list) =>
    list.find(
      (one) => one.metadata.annotations?.['deployment.kubernetes.io/revision'] === '3' && complete(3)([one]),
    ),
  );
  expect(back.spec?.template?.spec?.containers[0]?.image).toBe('one');
  const again = await all(ReplicaSets);
  expect(again).toHaveLength(2);
  expect(again.find((one) => one.metadata.uid === first?.metadata.uid)?.spec?.replicas).toBe(3);
});

test('Recreate starts no new pod while an old one is there', async () => {
  const { create, until, merge, client, signal, all } = await start();
  const stuck = deployment(2, { strategy: { type: 'Recreate' } });
  stuck.spec!.template.metadata!.annotations = { 'test/stuck': 'true' };
  await create(Deployments, stuck);
  await until(Deployments, complete(2));
  await merge(Deployments, web, {
    spec: {
      template: {
        metadata: { annotations: { 'test/stuck': null } },
        spec: { containers: [{ name: 'c', image: 'two' }] },
      },
    },
  });
  const old = await until(
    Pods,
    (pods) => pods.length === 2 && pods.every((p) => p.metadata.deletionTimestamp) && pods,
  );
  await until(Deployments, (list) =>
    list.find((one) => one.status?.observedGeneration === one.metadata.generation),
  );
  expect(await all(Pods)).toHaveLength(2);
  for (const pod of old) {
    await client.delete(
      Pods,
      { namespace: 'default', name: pod.metadata.name },
      { signal, gracePeriodSeconds: 0 },
    );
  }
  const done = await until(Deployments, complete(2));
  expect(done.status?.replicas).toBe(2);
});

test('a paused Deployment scales but does not roll', async () => {
  const { create, until, merge, all } = await start();
  await create(Deployments, deployment(1));
  await until(Deployments, complete(1));
  await merge(Deployments, web, {
    spec: { paused: true, replicas: 2, template: { spec: { containers: [{ name: 'c', image: 'two' }] } } },
  });
  await until(Pods, (pods) => pods.filter(isReady).length === 2);
  const paused = await until(Deployments, (list) =>
    list.find((one) => one.status?.conditions?.some((c) => c.reason === 'DeploymentPaused')),
  );
  expect(paused.status?.updatedReplicas ?? 0).toBe(0);
  expect(await all(ReplicaSets)).toHaveLength(1);
  await merge(Deployments, web, { spec: { paused: null } });
  await until(Deployments, complete(2));
});

test('a pod relabelled away is let go and replaced; relabelled back, one is given up', async () => {
  const { create, until, merge } = await start();
  await create(Deployments, deployment(2));
  await until(Deployments, complete(2));
  const [pod] = await until(Pods, (pods) => pods.length === 2 && pods);
  const ref = { namespace: 'default', name: pod?.metadata.name ?? '' };
  await merge(Pods, ref, { metadata: { labels: { app: 'debug' } } });
  const free = await until(
    Pods,
    (pods) =>
      pods.length === 3 &&
      pods.find((one) => one.metadata.name === ref.name && !one.metadata.ownerReferences?.length),
  );
  expect(free.metadata.labels?.['app']).toBe('debug');
  await merge(Pods, ref, { metadata: { labels: { app: 'web' } } });
  await until(
    Pods,
    (pods) => pods.length === 2 && pods.every((one) => one.metadata.ownerReferences?.length === 1),
  );
});

/** A client whose news of pods comes late, as from a busy server. */
const lateNews = (client: KubeClient): KubeClient => ({
  ...client,
  async *watchOnce(resource, selection, options) {
    for await (const event of client.watchOnce(resource, selection, options)) {
      if (resource.plural === 'pods') await new Promise((resolve) => setTimeout(resolve, 50));
      yield event;
    }
  },
});

test('a ReplicaSet that does not hear of its pods for long makes and removes none too many', async () => {
  const bench = await startBench([(manager, environment) => manager.add(replicaSetController(environment))], {
    through: lateNews,
  });
  const { create, merge, until, all } = bench;
  const ref = { namespace: 'default', name: 'late' };
  let most = 0;
  let least = 99;
  let grown = false;
  const watching = until(Pods, (pods) => {
    const alive = pods.filter(isActive).length;
    most = Math.max(most, alive);
    grown ||= alive >= 12;
    if (grown) least = Math.min(least, alive);
    return grown && alive === 7;
  });
  await create(ReplicaSets, {
    metadata: ref,
    spec: {
      replicas: 12,
      selector: { matchLabels: { app: 'late' } },
      template: {
        metadata: { labels: { app: 'late' } },
        spec: { nodeName: 'n1', containers: [{ name: 'c', image: 'x' }] },
      },
    },
  });
  // Each of these makes it look again while its news are still under way.
  for (let look = 0; look < 10; look++)
    await merge(ReplicaSets, ref, { metadata: { annotations: { look: `${look}` } } });
  await until(ReplicaSets, (sets) => sets.find((one) => one.status?.replicas === 12));
  await merge(ReplicaSets, ref, { spec: { replicas: 7 } });
  for (let look = 0; look < 10; look++)
    await merge(ReplicaSets, ref, { metadata: { annotations: { look: `-${look}` } } });
  await watching;
  await until(ReplicaSets, (sets) =>
    sets.find((one) => one.status?.replicas === 7 && one.status.readyReplicas === 7),
  );
  expect([most, least]).toEqual([12, 7]);
  expect(await all(Pods)).toHaveLength(7);
});

test('a thousand pods are made once each', async () => {
  const { create, until, all } = await start();
  await create(ReplicaSets, {
    metadata: { name: 'many', namespace: 'default' },
    spec: {
      replicas: 1000,
      selector: { matchLabels: { app: 'many' } },
      template: { metadata: { labels: { app: 'many' } }, spec: { containers: [{ name: 'c', image: 'x' }] } },
    },
  });
  let most = 0;
  await until(Pods, (pods) => {
    most = Math.max(most, pods.length);
    return pods.length >= 1000;
  });
  await until(ReplicaSets, (sets) => sets.find((one) => one.status?.replicas === 1000));
  expect(await all(Pods)).toHaveLength(1000);
  expect(most).toBe(1000);
});

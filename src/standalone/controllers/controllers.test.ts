import type { StatefulSet } from 'kubernetes-types/apps/v1.js';
import type { Pod } from 'kubernetes-types/core/v1.js';
import { expect, test } from 'vitest';
import { addNode, beat, startBench } from '../../../test/support/controller-bench.ts';
import {
  ClusterRoles,
  ConfigMaps,
  Deployments,
  Endpoints,
  Events,
  Jobs,
  Namespaces,
  PersistentVolumeClaims,
  PodDisruptionBudgets,
  Pods,
  ReplicaSets,
  Services,
  StatefulSets,
} from '../../api/core.ts';
import { virtualClock } from '../../lib/clock.ts';
import { silentLogger } from '../../lib/log.ts';
import { clusterRoleAggregationController } from './cluster-role-aggregation.ts';
import { controllerTable, runControllers } from './controllers.ts';
import { disruptionController } from './disruption-controller.ts';
import { eventExpiry } from './event-expiry.ts';
import { isReady } from './pod-state.ts';
import { statefulSetController } from './stateful-set-controller.ts';

const template = (app: string, image = 'one') => ({
  metadata: { labels: { app } },
  spec: { containers: [{ name: 'c', image, ports: [{ containerPort: 80 }] }] },
});

test('all together: a namespace with a workload behind a Service comes, survives a restart of the controllers, and goes', async () => {
  const running = await startBench([], {});
  const { client, environment } = running;
  const begin = () => {
    const stop = new AbortController();
    const ended = runControllers({
      client,
      clock: environment.clock,
      log: silentLogger,
      signal: stop.signal,
      rootCa: 'PEM',
    });
    return async () => {
      stop.abort(new Error('restart'));
      await ended;
    };
  };
  let end = begin();
  await addNode(running, 'n1');
  await beat(running, 'n1');
  await running.create(Namespaces, { metadata: { name: 'x' } });
  const metadata = { name: 'web', namespace: 'x' };
  await running.create(Deployments, {
    metadata,
    spec: { replicas: 3, selector: { matchLabels: { app: 'web' } }, template: template('web') },
  });
  await running.create(Services, { metadata, spec: { selector: { app: 'web' }, ports: [{ port: 80 }] } });
  const backends = (count: number) =>
    running.until(Endpoints, (list) => list.some((one) => one.subsets?.[0]?.addresses?.length === count), {
      namespace: 'x',
    });
  await backends(3);
  await end();
  await client.patch(
    Deployments,
    metadata,
    { type: 'merge', body: { spec: { replicas: 5 } } },
    { signal: running.signal },
  );
  end = begin();
  await backends(5);
  expect(await running.all(ReplicaSets, { namespace: 'x' })).toHaveLength(1);
  expect(await running.all(Pods, { namespace: 'x' })).toHaveLength(5);

  await client.delete(Deployments, metadata, { signal: running.signal, propagationPolicy: 'Foreground' });
  await running.until(Pods, (pods) => pods.length === 0, { namespace: 'x' });
  await running.until(Deployments, (list) => list.length === 0, { namespace: 'x' });
  expect(await running.all(ReplicaSets, { namespace: 'x' })).toEqual([]);
  await running.create(ConfigMaps, { metadata: { name: 'c', namespace: 'x' } });
  await client.delete(Namespaces, { name: 'x' }, { signal: running.signal });
  await running.until(Namespaces, (list) => !list.some((one) => one.metadata.name === 'x'));
  await end();
});

test('a Job that is over is collected with its pods', async () => {
  const running = await startBench(controllerTable);
  await addNode(running, 'n1');
  await beat(running, 'n1');
  await running.create(Jobs, {
    metadata: { name: 'j', namespace: 'default' },
    spec: {
      ttlSecondsAfterFinished: 0,
      template: { spec: { restartPolicy: 'Never', containers: [{ name: 'c', image: 'x' }] } },
    },
  });
  const pod = await running.until(Pods, (pods) => pods.find(isReady));
  await running.merge(
    Pods,
    { namespace: 'default', name: pod.metadata.name },
    { status: { phase: 'Succeeded' } },
    'status',
  );
  await running.until(Jobs, (jobs) => jobs.length === 0);
  await running.until(Pods, (pods) => pods.length === 0);
});

const statefulSet = (replicas: number): StatefulSet => ({
  metadata: { name: 'db', namespace: 'default' },
  spec: {
    replicas,
    serviceName: 'db',
    selector: { matchLabels: { app: 'db' } },
    template: { ...template('db'), spec: { nodeName: 'n1', containers: [{ name: 'c', image: 'one' }] } },
    volumeClaimTemplates: [
      {
        metadata: { name: 'data' },
        spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } } },
      },
    ],
  },
});

test('a StatefulSet counts up one by one, keeps names and claims, updates from the top and counts down', async () => {
  const running = await startBench([
    (manager, environment) => manager.add(statefulSetController(environment)),
  ]);
  await addNode(running, 'n1');
  const born: string[] = [];
  const names = (pods: readonly Pod[]) => pods.map((pod) => pod.metadata?.name ?? '').sort();
  const watching = running.until(Pods, (pods) => {
    for (const name of names(pods)) if (!born.includes(name)) born.push(name);
    return pods.length === 3 && pods.every(isReady);
  });
  await running.create(StatefulSets, statefulSet(3));
  await watching;
  expect(born).toEqual(['db-0', 'db-1', 'db-2']);
  const [pod] = await running.all(Pods);
  expect(pod).toMatchObject({
    metadata: { labels: { 'statefulset.kubernetes.io/pod-name': 'db-0' } },
    spec: {
      hostname: 'db-0',
      subdomain: 'db',
      volumes: [{ name: 'data', persistentVolumeClaim: { claimName: 'data-db-0' } }],
    },
  });
  const updated: string[] = [];
  const rolled = running.until(Pods, (pods) => {
    for (const one of pods) {
      if (one.spec?.containers[0]?.image === 'two' && !updated.includes(one.metadata.name))
        updated.push(one.metadata.name);
    }
    return updated.length === 3 && pods.length === 3 && pods.every(isReady);
  });
  await running.merge(
    StatefulSets,
    { namespace: 'default', name: 'db' },
    {
      spec: { template: { spec: { containers: [{ name: 'c', image: 'two' }] } } },
    },
  );
  await rolled;
  expect(updated).toEqual(['db-2', 'db-1', 'db-0']);
  const set = await running.until(
    StatefulSets,
    (sets) =>
      sets[0]?.status?.currentRevision === sets[0]?.status?.updateRevision &&
      sets[0]?.status?.updatedReplicas === 3 &&
      sets[0],
  );
  expect(set.status).toMatchObject({ replicas: 3, readyReplicas: 3, currentReplicas: 3 });
  await running.merge(StatefulSets, { namespace: 'default', name: 'db' }, { spec: { replicas: 1 } });
  await running.until(Pods, (pods) => names(pods).join() === 'db-0');
  expect(await running.all(PersistentVolumeClaims)).toHaveLength(3);
});

test('a budget allows what is above its floor', async () => {
  const running = await startBench([
    (manager, environment) => manager.add(disruptionController(environment)),
  ]);
  await addNode(running, 'n1');
  const mon = (name: string): Pod => ({
    metadata: { name, namespace: 'default', labels: { app: 'mon' } },
    spec: { nodeName: 'n1', containers: [{ name: 'c', image: 'x' }] },
  });
  const selector = { matchLabels: { app: 'mon' } };
  await running.create(PodDisruptionBudgets, {
    metadata: { name: 'b', namespace: 'default' },
    spec: { selector, maxUnavailable: 1 },
  });
  const allowed = (count: number) =>
    running.until(PodDisruptionBudgets, (list) =>
      list.find(
        (one) =>
          one.status?.disruptionsAllowed === count &&
          one.status.observedGeneration === one.metadata.generation,
      ),
    );
  await allowed(0);
  for (const name of ['a', 'b', 'c']) await running.create(Pods, mon(name));
  const budget = await allowed(1);
  expect(budget.status).toMatchObject({ currentHealthy: 3, desiredHealthy: 2, expectedPods: 3 });
  await running.merge(
    Pods,
    { namespace: 'default', name: 'a' },
    { status: { conditions: [{ type: 'Ready', status: 'False' }] } },
    'status',
  );
  await allowed(0);
});

test('an aggregated role has the rules of those it selects, and loses them with those', async () => {
  const running = await startBench([
    (manager, environment) => manager.add(clusterRoleAggregationController(environment)),
  ]);
  const rule = { apiGroups: ['ceph.rook.io'], resources: ['cephclusters'], verbs: ['get'] };
  await running.create(ClusterRoles, {
    metadata: { name: 'sum' },
    aggregationRule: { clusterRoleSelectors: [{ matchLabels: { into: 'sum' } }] },
    rules: [],
  });
  await running.create(ClusterRoles, { metadata: { name: 'part', labels: { into: 'sum' } }, rules: [rule] });
  const sum = (count: number) =>
    running.until(ClusterRoles, (list) =>
      list.find((one) => one.metadata.name === 'sum' && one.rules?.length === count),
    );
  expect((await sum(1)).rules).toEqual([rule]);
  await running.client.delete(ClusterRoles, { name: 'part' }, { signal: running.signal });
  await sum(0);
});

test('an event goes an hour after it last happened', async () => {
  const clock = virtualClock(Date.now());
  const running = await startBench([(manager, environment) => manager.addTask(eventExpiry(environment))], {
    clock,
  });
  const event = (name: string, lastTimestamp: string) => ({
    metadata: { name, namespace: 'default' },
    involvedObject: { kind: 'Pod', name: 'p', namespace: 'default' },
    reason: 'Started',
    lastTimestamp,
  });
  const at = (ms: number) => new Date(clock.now() + ms).toISOString();
  await running.create(Events, event('old', at(-3_500_000)));
  await running.create(Events, event('new', at(0)));
  await clock.advance(310_000);
  await running.until(Events, (list) => !list.some((one) => one.metadata.name === 'old'));
  expect((await running.all(Events)).map((one) => one.metadata.name)).toEqual(['new']);
});

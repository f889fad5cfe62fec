import type { Pod } from 'kubernetes-types/core/v1.js';
import { expect, test } from 'vitest';
import { addNode, startBench, type Bench } from '../../../test/support/controller-bench.ts';
import {
  Events,
  Nodes,
  PersistentVolumeClaims,
  PersistentVolumes,
  Pods,
  StorageClasses,
} from '../../api/core.ts';
import { ephemeralVolumeController } from './ephemeral-volumes.ts';
import { schedulerController } from './scheduler.ts';

const start = async () =>
  await startBench([(manager, environment) => manager.add(schedulerController(environment))]);

const pod = (name: string, spec: Partial<Pod['spec']> = {}, labels: Record<string, string> = {}): Pod => ({
  metadata: { name, namespace: 'default', labels },
  spec: { containers: [{ name: 'c', image: 'x' }], ...spec },
});
const asking = (cpu: string) => ({
  containers: [{ name: 'c', image: 'x', resources: { requests: { cpu } } }],
});

const placed = (name: string, running: Bench) =>
  running.until(Pods, (pods) => pods.find((one) => one.metadata.name === name)?.spec?.nodeName);
const refusal = (name: string, running: Bench, part: string) =>
  running.until(
    Pods,
    (pods) =>
      pods
        .find((one) => one.metadata.name === name)
        ?.status?.conditions?.find((c) => c.type === 'PodScheduled' && c.message?.includes(part))?.message,
  );

test('a pod goes where its selector, affinity and tolerations let it', async () => {
  const running = await start();
  await addNode(running, 'n1');
  await addNode(running, 'n2', { labels: { disk: 'ssd' } });
  await addNode(running, 'n3', { spec: { taints: [{ key: 'only', value: 'x', effect: 'NoSchedule' }] } });
  await running.create(Pods, pod('a', { nodeSelector: { disk: 'ssd' } }));
  expect(await placed('a', running)).toBe('n2');
  const term = { matchFields: [{ key: 'metadata.name', operator: 'In', values: ['n3'] }] };
  const affinity = {
    nodeAffinity: { requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms: [term] } },
  };
  await running.create(Pods, pod('b', { affinity, tolerations: [{ key: 'only', operator: 'Exists' }] }));
  expect(await placed('b', running)).toBe('n3');
  await running.create(Pods, pod('c', { affinity }));
  expect(await refusal('c', running, '0/3')).toBe(
    "0/3 nodes are available: 1 node(s) had untolerated taint {only: x}, 2 node(s) didn't match Pod's node affinity/selector.",
  );
  const [event] = await running.until(Events, (list) => {
    const found = list.filter((one) => one.reason === 'FailedScheduling');
    return found.length > 0 && found;
  });
  expect(event).toMatchObject({ type: 'Warning', source: { component: 'default-scheduler' } });
  await running.until(Events, (list) =>
    list.some((one) => one.message === 'Successfully assigned default/a to n2'),
  );
});

test('without a node a pod waits, and goes to the first that comes', async () => {
  const running = await start();
  await running.create(Pods, pod('a'));
  await refusal('a', running, 'no nodes available to schedule pods');
  await addNode(running, 'n1');
  expect(await placed('a', running)).toBe('n1');
});

test('a full node takes nobody, and room that is made is used', async () => {
  const running = await start();
  await addNode(running, 'n1', { allocatable: { cpu: '1' } });
  await running.create(Pods, pod('a', asking('800m')));
  await placed('a', running);
  await running.create(Pods, pod('b', asking('300m')));
  await refusal('b', running, '1 Insufficient cpu');
  await running.client.delete(Pods, { namespace: 'default', name: 'a' }, { signal: running.signal });
  expect(await placed('b', running)).toBe('n1');
});

test('of many pods at once a node takes only as many as fit, and siblings spread', async () => {
  const running = await start();
  for (const name of ['n1', 'n2', 'n3']) await addNode(running, name, { allocatable: { cpu: '2' } });
  const apart = {
    podAntiAffinity: {
      requiredDuringSchedulingIgnoredDuringExecution: [
        { labelSelector: { matchLabels: { app: 'mon' } }, topologyKey: 'kubernetes.io/hostname' },
      ],
    },
  };
  const names = ['a', 'b', 'c', 'd'];
  await Promise.all(
    names.map((name) => running.create(Pods, pod(name, { affinity: apart }, { app: 'mon' }))),
  );
  const left = await running.until(Pods, (pods) => {
    const waiting = pods.filter((one) => !one.spec?.nodeName);
    const nodes = new Set(pods.map((one) => one.spec?.nodeName).filter(Boolean));
    return waiting.length === 1 && nodes.size === 3 && waiting[0];
  });
  await refusal(left.metadata.name, running, "3 node(s) didn't match pod anti-affinity rules");
  const many = Array.from({ length: 12 }, (_, index) => `m${index}`);
  await Promise.all(many.map((name) => running.create(Pods, pod(name, asking('1')))));
  await running.until(Pods, (pods) => {
    const placedMany = pods.filter((one) => one.metadata.name.startsWith('m') && one.spec?.nodeName);
    const perNode = ['n1', 'n2', 'n3'].map(
      (node) => placedMany.filter((one) => one.spec?.nodeName === node).length,
    );
    const refused = pods.filter((one) =>
      one.status?.conditions?.some((c) => c.message?.includes('Insufficient cpu')),
    );
    return placedMany.length === 6 && perNode.every((count) => count === 2) && refused.length === 6;
  });
});

test('a host port is given once for a node', async () => {
  const running = await start();
  await addNode(running, 'n1');
  const spec = {
    hostNetwork: true,
    containers: [{ name: 'c', image: 'x', ports: [{ containerPort: 3300 }] }],
  };
  await running.create(Pods, pod('a', spec));
  await placed('a', running);
  await running.create(Pods, pod('b', spec));
  await refusal('b', running, "node(s) didn't have free ports for the requested pod ports");
});

test('a cordoned node takes only those that tolerate it', async () => {
  const running = await start();
  await addNode(running, 'n1', { spec: { unschedulable: true } });
  await running.create(Pods, pod('a'));
  await refusal('a', running, '1 node(s) were unschedulable');
  await running.merge(Nodes, { name: 'n1' }, { spec: { unschedulable: null } });
  expect(await placed('a', running)).toBe('n1');
});

const claimPod = (name: string) =>
  pod(name, { volumes: [{ name: 'data', persistentVolumeClaim: { claimName: 'data' } }] });
const claim = (storageClassName: string) => ({
  metadata: { name: 'data', namespace: 'default' },
  spec: { accessModes: ['ReadWriteOnce'], storageClassName, resources: { requests: { storage: '1Gi' } } },
});

test('a pod waits for its claim, says why, and follows the volume to its node', async () => {
  const running = await start();
  await addNode(running, 'n1');
  await addNode(running, 'n2', { labels: { zone: 'b' } });
  await running.create(Pods, claimPod('a'));
  await refusal('a', running, 'persistentvolumeclaim "data" not found');
  await running.create(PersistentVolumeClaims, claim('fast'));
  await refusal('a', running, 'pod has unbound immediate PersistentVolumeClaims');
  await running.create(PersistentVolumes, {
    metadata: { name: 'v' },
    spec: {
      capacity: { storage: '1Gi' },
      accessModes: ['ReadWriteOnce'],
      hostPath: { path: '/v' },
      nodeAffinity: {
        required: {
          nodeSelectorTerms: [{ matchExpressions: [{ key: 'zone', operator: 'In', values: ['b'] }] }],
        },
      },
    },
  });
  await running.merge(
    PersistentVolumeClaims,
    { namespace: 'default', name: 'data' },
    { metadata: { annotations: { 'pv.kubernetes.io/bind-completed': 'yes' } }, spec: { volumeName: 'v' } },
  );
  expect(await placed('a', running)).toBe('n2');
});

test('WaitForFirstConsumer gives the claim its node first and binds the pod when the claim is bound', async () => {
  const running = await start();
  await addNode(running, 'n1');
  await running.create(StorageClasses, {
    metadata: { name: 'late' },
    provisioner: 'rook-ceph.rbd.csi.ceph.com',
    volumeBindingMode: 'WaitForFirstConsumer',
  });
  await running.create(PersistentVolumeClaims, claim('late'));
  await running.create(Pods, claimPod('a'));
  await running.until(PersistentVolumeClaims, (claims) =>
    claims.find((one) => one.metadata.annotations?.['volume.kubernetes.io/selected-node'] === 'n1'),
  );
  expect((await running.get(Pods, { namespace: 'default', name: 'a' })).spec?.nodeName).toBeUndefined();
  await running.create(PersistentVolumes, {
    metadata: { name: 'v' },
    spec: { capacity: { storage: '1Gi' }, accessModes: ['ReadWriteOnce'], hostPath: { path: '/v' } },
  });
  await running.merge(
    PersistentVolumeClaims,
    { namespace: 'default', name: 'data' },
    { metadata: { annotations: { 'pv.kubernetes.io/bind-completed': 'yes' } }, spec: { volumeName: 'v' } },
  );
  expect(await placed('a', running)).toBe('n1');
});

test('a spread constraint keeps zones level', async () => {
  const running = await start();
  for (const [name, zone] of [
    ['n1', 'a'],
    ['n2', 'a'],
    ['n3', 'b'],
  ] as const) {
    await addNode(running, name, { labels: { zone } });
  }
  const topologySpreadConstraints = [
    {
      maxSkew: 1,
      topologyKey: 'zone',
      whenUnsatisfiable: 'DoNotSchedule',
      labelSelector: { matchLabels: { app: 'mon' } },
    },
  ];
  for (let count = 0; count < 4; count++) {
    await running.create(Pods, pod(`m${count}`, { topologySpreadConstraints }, { app: 'mon' }));
    await placed(`m${count}`, running);
  }
  const nodes = (await running.all(Pods)).map((one) => one.spec?.nodeName);
  expect(nodes.filter((node) => node === 'n3')).toHaveLength(2);
  await running.merge(Nodes, { name: 'n3' }, { spec: { unschedulable: true } });
  await running.create(Pods, pod('m4', { topologySpreadConstraints }, { app: 'mon' }));
  await placed('m4', running);
  await running.create(Pods, pod('m5', { topologySpreadConstraints }, { app: 'mon' }));
  await refusal('m5', running, "2 node(s) didn't match pod topology spread constraints");
});

test('an ephemeral volume’s claim is made for its pod, and the pod waits for it', async () => {
  const running = await startBench([
    (manager, environment) => manager.add(schedulerController(environment)),
    (manager, environment) => manager.add(ephemeralVolumeController(environment)),
  ]);
  await addNode(running, 'n1');
  const { spec } = claim('fast');
  const volumes = [{ name: 'tmp', ephemeral: { volumeClaimTemplate: { spec } } }];
  const made = await running.create(Pods, pod('a', { volumes }));
  const own = await running.until(PersistentVolumeClaims, (claims) =>
    claims.find((one) => one.metadata.name === 'a-tmp'),
  );
  expect(own.metadata.ownerReferences?.[0]).toMatchObject({
    kind: 'Pod',
    uid: made.metadata.uid,
    controller: true,
  });
  await refusal('a', running, 'pod has unbound immediate PersistentVolumeClaims');
});

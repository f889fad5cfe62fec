import type { Pod } from 'kubernetes-types/core/v1.js';
import { expect, test } from 'vitest';
import { addNode, beat, startBench, type Bench } from '../../../test/support/controller-bench.ts';
import { Nodes, Pods } from '../../api/core.ts';
import { virtualClock, type VirtualClock } from '../../lib/clock.ts';
import { nodeLifecycleController } from './node-lifecycle.ts';
import { podCollector } from './pod-collector.ts';
import { taintEvictionController } from './taint-eviction.ts';

async function start(): Promise<{ running: Bench; clock: VirtualClock }> {
  const clock = virtualClock(Date.now());
  const running = await startBench(
    [
      (manager, environment) => manager.add(nodeLifecycleController(environment)),
      (manager, environment) => manager.add(taintEvictionController(environment)),
      (manager, environment) => manager.addTask(podCollector(environment)),
    ],
    { clock },
  );
  return { running, clock };
}

const pod = (name: string, nodeName: string | undefined, spec: Partial<Pod['spec']> = {}): Pod => ({
  metadata: { name, namespace: 'default' },
  spec: { ...(nodeName ? { nodeName } : {}), containers: [{ name: 'c', image: 'x' }], ...spec },
});
const keys = (taints: { key: string; effect: string }[] | undefined) =>
  (taints ?? []).map((taint) => `${taint.key.split('/')[1]}:${taint.effect}`).sort();

/** Lets `ms` go by while these nodes send their heartbeats. */
async function pass(running: Bench, clock: VirtualClock, ms: number, alive: readonly string[]) {
  for (let left = ms; left > 0; left -= 10_000) {
    for (const name of alive) await beat(running, name);
    await clock.advance(Math.min(10_000, left));
  }
}

test('a node that has said nothing yet is not ready, and unreachable only after its time to start', async () => {
  const { running, clock } = await start();
  await running.create(Nodes, { apiVersion: 'v1', kind: 'Node', metadata: { name: 'n1' } });
  const taintedAs = (name: string) =>
    running.until(Nodes, (nodes) => keys(nodes[0]?.spec?.taints).includes(`${name}:NoExecute`));
  await taintedAs('not-ready');
  await clock.advance(61_000);
  await taintedAs('unreachable');
});

test('a silent node is lost after 40 s, its pods leave service, and it comes back with a heartbeat', async () => {
  const { running, clock } = await start();
  await addNode(running, 'n1');
  await addNode(running, 'n2');
  await running.create(Pods, pod('a', 'n1'));
  const ready = (pods: readonly Pod[]) =>
    pods[0]?.status?.conditions?.find((c) => c.type === 'Ready')?.status;
  await running.until(Pods, (pods) => ready(pods) === 'True');
  await pass(running, clock, 30_000, ['n1', 'n2']);
  await pass(running, clock, 20_000, ['n2']);
  expect(keys((await running.get(Nodes, { name: 'n1' })).spec?.taints)).toEqual([]);
  await pass(running, clock, 20_000, ['n2']);
  const lost = await running.until(Nodes, (nodes) =>
    nodes.find((one) => one.metadata.name === 'n1' && keys(one.spec?.taints).length === 2),
  );
  expect(keys(lost.spec?.taints)).toEqual(['unreachable:NoExecute', 'unreachable:NoSchedule']);
  expect(lost.status?.conditions?.find((c) => c.type === 'Ready')).toMatchObject({
    status: 'Unknown',
    reason: 'NodeStatusUnknown',
    message: 'Kubelet stopped posting node status.',
  });
  await running.until(Pods, (pods) => ready(pods) === 'False');
  expect(keys((await running.get(Nodes, { name: 'n2' })).spec?.taints)).toEqual([]);

  await beat(running, 'n1');
  await running.merge(
    Nodes,
    { name: 'n1' },
    { status: { conditions: [{ type: 'Ready', status: 'True', reason: 'KubeletReady' }] } },
    'status',
  );
  await running.until(Nodes, (nodes) => nodes.every((one) => keys(one.spec?.taints).length === 0));
});

test('pods leave a lost node after their toleration, while another node is there to take them', async () => {
  const { running, clock } = await start();
  await addNode(running, 'n1');
  await addNode(running, 'n2');
  const taken = (tolerationSeconds: number) => ({
    tolerations: [
      { key: 'node.kubernetes.io/unreachable', operator: 'Exists', effect: 'NoExecute', tolerationSeconds },
    ],
  });
  await running.create(Pods, pod('soon', 'n1', taken(20)));
  await running.create(Pods, pod('default', 'n1'));
  await running.create(Pods, pod('daemon', 'n1', { tolerations: [{ operator: 'Exists' }] }));
  await pass(running, clock, 10_000, ['n1', 'n2']);
  await pass(running, clock, 60_000, ['n2']);
  await running.until(Nodes, (nodes) => nodes.some((one) => keys(one.spec?.taints).length === 2));
  await pass(running, clock, 30_000, ['n2']);
  await running.until(Pods, (pods) => !pods.some((one) => one.metadata.name === 'soon'));
  expect((await running.all(Pods)).map((one) => one.metadata.name).sort()).toEqual(['daemon', 'default']);
  await pass(running, clock, 300_000, ['n2']);
  await running.until(Pods, (pods) => pods.length === 1 && pods[0]?.metadata.name === 'daemon');
});

test('a whole cluster that fell silent keeps its pods', async () => {
  const { running, clock } = await start();
  await addNode(running, 'n1');
  await running.create(Pods, pod('a', 'n1'));
  await pass(running, clock, 10_000, ['n1']);
  await pass(running, clock, 900_000, []);
  await running.until(Nodes, (nodes) => nodes.some((one) => keys(one.spec?.taints).length === 2));
  await pass(running, clock, 900_000, []);
  expect((await running.all(Pods)).map((one) => one.metadata.deletionTimestamp)).toEqual([undefined]);
});

test('a NoExecute taint of a user evicts at once', async () => {
  const { running } = await start();
  await addNode(running, 'n1');
  await running.create(Pods, pod('a', 'n1'));
  await running.create(Pods, pod('b', 'n1', { tolerations: [{ key: 'out', operator: 'Exists' }] }));
  await running.merge(Nodes, { name: 'n1' }, { spec: { taints: [{ key: 'out', effect: 'NoExecute' }] } });
  await running.until(Pods, (pods) => pods.length === 1 && pods[0]?.metadata.name === 'b');
});

test('pods of a node that is gone are removed, but not before it is surely gone', async () => {
  const { running, clock } = await start();
  await addNode(running, 'n1');
  const orphaned = pod('a', 'n-gone');
  orphaned.metadata!.annotations = { 'test/broken': 'true' };
  await running.create(Pods, orphaned);
  await running.until(Pods, (pods) => pods.length === 1);
  await pass(running, clock, 30_000, []);
  expect(await running.all(Pods)).toHaveLength(1);
  await pass(running, clock, 50_000, []);
  await running.until(Pods, (pods) => pods.length === 0);
});

test('a cordoned node is tainted so, and the taint goes with the cordon', async () => {
  const { running } = await start();
  await addNode(running, 'n1', {
    spec: { unschedulable: true, taints: [{ key: 'mine', effect: 'NoSchedule' }] },
  });
  await running.until(Nodes, (nodes) => keys(nodes[0]?.spec?.taints).includes('unschedulable:NoSchedule'));
  await running.merge(Nodes, { name: 'n1' }, { spec: { unschedulable: null } });
  await running.until(
    Nodes,
    (nodes) => nodes[0]?.spec?.taints?.length === 1 && nodes[0].spec.taints[0]?.key === 'mine',
  );
});

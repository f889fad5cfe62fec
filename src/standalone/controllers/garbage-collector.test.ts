import { expect, test } from 'vitest';
import { startBench, type BenchOptions } from '../../../test/support/controller-bench.ts';
import { ConfigMaps, CustomResourceDefinitions, Secrets } from '../../api/core.ts';
import { resource, type KubeObject, type Stored } from '../../api/resource.ts';
import { garbageCollector } from './garbage-collector.ts';

const start = async (through?: BenchOptions['through']) =>
  await startBench(
    [(manager, environment) => manager.addTask(garbageCollector(environment))],
    through && { through },
  );

const ownedBy = (owner: Stored<KubeObject>, block = true) => ({
  apiVersion: owner.apiVersion,
  kind: owner.kind,
  name: owner.metadata.name,
  uid: owner.metadata.uid,
  ...(block ? { blockOwnerDeletion: true } : {}),
});
const named = (name: string, owners: object[] = [], finalizers: string[] = []) => ({
  metadata: { name, namespace: 'default', ownerReferences: owners as never, finalizers },
});
const there = (name: string) => (list: readonly Stored<KubeObject>[]) =>
  list.find((one) => one.metadata.name === name);
const gone = (name: string) => (list: readonly Stored<KubeObject>[]) =>
  !list.some((one) => one.metadata.name === name);

test('background: the owner goes first, then what it owned, over kinds and levels', async () => {
  const running = await start();
  const { signal } = running;
  const root = await running.create(ConfigMaps, named('root'));
  const middle = await running.create(Secrets, named('middle', [ownedBy(root)]));
  await running.create(ConfigMaps, named('leaf', [ownedBy(middle)]));
  await running.create(ConfigMaps, named('other'));
  await running.client.delete(
    ConfigMaps,
    { namespace: 'default', name: 'root' },
    { signal, propagationPolicy: 'Background' },
  );
  await running.until(Secrets, gone('middle'));
  await running.until(ConfigMaps, gone('leaf'));
  expect(there('other')(await running.all(ConfigMaps))).toBeDefined();
});

test('foreground: the owner stays until everything below it is gone', async () => {
  const running = await start();
  const { signal } = running;
  const root = await running.create(ConfigMaps, named('root'));
  const middle = await running.create(ConfigMaps, named('middle', [ownedBy(root)]));
  await running.create(Secrets, named('leaf', [ownedBy(middle)], ['example.com/hold']));
  await running.client.delete(
    ConfigMaps,
    { namespace: 'default', name: 'root' },
    { signal, propagationPolicy: 'Foreground' },
  );
  const leaf = await running.until(Secrets, (list) => {
    const one = there('leaf')(list);
    return one?.metadata.deletionTimestamp ? one : undefined;
  });
  const waiting = await running.all(ConfigMaps);
  expect(there('root')(waiting)?.metadata.finalizers).toEqual(['foregroundDeletion']);
  expect(there('middle')(waiting)?.metadata.finalizers).toEqual(['foregroundDeletion']);
  await running.merge(
    Secrets,
    { namespace: 'default', name: leaf.metadata.name },
    { metadata: { finalizers: null } },
  );
  await running.until(ConfigMaps, (list) => gone('root')(list) && gone('middle')(list));
});

test('orphan: the dependents stay, without their owner', async () => {
  const running = await start();
  const { signal } = running;
  const root = await running.create(ConfigMaps, named('root'));
  await running.create(Secrets, named('kept', [ownedBy(root)]));
  // The collector has to know of the dependent: once it has taken a later one away, it does.
  await running.create(Secrets, named('stale', [{ ...ownedBy(root), uid: 'not-that-one' }]));
  await running.until(Secrets, gone('stale'));
  await running.client.delete(
    ConfigMaps,
    { namespace: 'default', name: 'root' },
    { signal, propagationPolicy: 'Orphan' },
  );
  await running.until(ConfigMaps, gone('root'));
  const kept = await running.get(Secrets, { namespace: 'default', name: 'kept' });
  expect(kept.metadata.ownerReferences ?? []).toEqual([]);
});

test('an object with another living owner only loses the dead one', async () => {
  const running = await start();
  const { signal } = running;
  const first = await running.create(ConfigMaps, named('first'));
  const second = await running.create(ConfigMaps, named('second'));
  await running.create(Secrets, named('shared', [ownedBy(first), ownedBy(second)]));
  await running.client.delete(
    ConfigMaps,
    { namespace: 'default', name: 'first' },
    { signal, propagationPolicy: 'Background' },
  );
  const shared = await running.until(Secrets, (list) => {
    const one = there('shared')(list);
    return one?.metadata.ownerReferences?.length === 1 && one;
  });
  expect(shared.metadata.ownerReferences?.[0]?.uid).toBe(second.metadata.uid);
});

test('an object whose owner is there costs no request, however often it changes', async () => {
  const asked: string[] = [];
  const running = await start((client) => ({
    ...client,
    async get(resource, ref, options) {
      asked.push(ref.name);
      return await client.get(resource, ref, options);
    },
  }));
  const owner = await running.create(ConfigMaps, named('owner'));
  await running.create(Secrets, named('owned', [ownedBy(owner)]));
  for (const value of ['MQ==', 'Mg=='])
    await running.merge(Secrets, { namespace: 'default', name: 'owned' }, { data: { value } });
  // By the time that this one is collected, everything before it has been judged.
  await running.create(Secrets, named('stale', [{ ...ownedBy(owner), uid: 'not-that-one' }]));
  await running.until(Secrets, gone('stale'));
  expect(asked).toContain('stale');
  expect(asked).not.toContain('owned');
});

test('an owner that was made anew under its name does not count, nor does one in another namespace', async () => {
  const running = await start();
  const owner = await running.create(ConfigMaps, named('owner'));
  await running.create(Secrets, named('stale', [{ ...ownedBy(owner), uid: 'not-that-one' }]));
  await running.until(Secrets, gone('stale'));
  await running.create(Secrets, named('fine', [ownedBy(owner)]));
  const foreign = named('foreign', [ownedBy(owner)]);
  await running.create(Secrets, { metadata: { ...foreign.metadata, namespace: 'kube-public' } });
  await running.until(Secrets, gone('foreign'));
  expect(there('fine')(await running.all(Secrets))).toBeDefined();
});

test('custom kinds own and are owned, from the moment their definition is served', async () => {
  const running = await start();
  const { signal } = running;
  const Widgets = resource<KubeObject>('example.com', 'v1', 'Widget', 'widgets');
  await running.create(CustomResourceDefinitions, {
    metadata: { name: 'widgets.example.com' },
    spec: {
      group: 'example.com',
      scope: 'Namespaced',
      names: { plural: 'widgets', singular: 'widget', kind: 'Widget', listKind: 'WidgetList' },
      versions: [
        {
          name: 'v1',
          served: true,
          storage: true,
          schema: { openAPIV3Schema: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true } },
        },
      ],
    },
  });
  await running.until(CustomResourceDefinitions, (list) =>
    list.some((one) =>
      (one.status as { conditions?: { type: string; status: string }[] })?.conditions?.some(
        (c) => c.type === 'Established' && c.status === 'True',
      ),
    ),
  );
  const widget = await running.create(Widgets, named('w'));
  await running.create(ConfigMaps, named('of-widget', [ownedBy(widget)]));
  await running.create(ConfigMaps, named('of-nobody', [{ ...ownedBy(widget), kind: 'Gadget' }]));
  await running.client.delete(
    Widgets,
    { namespace: 'default', name: 'w' },
    { signal, propagationPolicy: 'Background' },
  );
  await running.until(ConfigMaps, gone('of-widget'));
  // Its owner's kind is not served, so nobody can know whether the owner is there.
  expect(there('of-nobody')(await running.all(ConfigMaps))).toBeDefined();
});

import { describe, expect, test } from 'vitest';
import { sharedTestApi } from '../../../../test/support/api-call.ts';
import { serviceRange } from './cluster-ip.ts';

const { call } = sharedTestApi();
const merge = { 'content-type': 'application/merge-patch+json' };
const containers = [{ name: 'c', image: 'busybox' }];

describe('namespaces', () => {
  test('the first four are there, labelled and active', async () => {
    for (const name of ['default', 'kube-system', 'kube-public', 'kube-node-lease']) {
      const { body } = await call('GET', `/api/v1/namespaces/${name}`);
      expect(body).toMatchObject({
        metadata: { labels: { 'kubernetes.io/metadata.name': name } },
        spec: { finalizers: ['kubernetes'] },
        status: { phase: 'Active' },
      });
    }
  });

  test('nothing is made in one that is absent or going away; finalize ends it', async () => {
    const maps = '/api/v1/namespaces/going/configmaps';
    const absent = await call('POST', maps, { metadata: { name: 'a' } });
    expect(absent.code).toBe(404);
    expect(absent.body['message']).toBe('namespaces "going" not found');
    await call('POST', '/api/v1/namespaces', { metadata: { name: 'going' } });
    expect((await call('POST', maps, { metadata: { name: 'a' } })).code).toBe(201);
    const deleted = await call('DELETE', '/api/v1/namespaces/going');
    expect(deleted.body).toMatchObject({ status: { phase: 'Terminating' } });
    const refused = await call('POST', maps, { metadata: { name: 'b' } });
    expect(refused.code).toBe(403);
    expect(refused.body['details']?.['causes']).toMatchObject([{ reason: 'NamespaceTerminating' }]);
    const namespace = (await call('GET', '/api/v1/namespaces/going')).body;
    await call('PUT', '/api/v1/namespaces/going/finalize', { ...namespace, spec: { finalizers: [] } });
    expect((await call('GET', '/api/v1/namespaces/going')).code).toBe(404);
  });
});

test('what nothing acts on is taken with a warning, once', async () => {
  const quotas = '/api/v1/namespaces/default/resourcequotas';
  const made = await call('POST', quotas, { metadata: { name: 'q' }, spec: { hard: { pods: '1' } } });
  expect(made.code).toBe(201);
  expect(made.headers.get('warning')).toContain('standalone Holdfast: a ResourceQuota is not enforced');
  const changed = await call('PATCH', `${quotas}/q`, { spec: { hard: { pods: '2' } } }, merge);
  expect(changed.headers.get('warning')).toBeNull();

  const services = '/api/v1/namespaces/default/services';
  const service = { metadata: { name: 'plain' }, spec: { ports: [{ port: 80 }], selector: { a: 'b' } } };
  expect((await call('POST', services, service)).headers.get('warning')).toBeNull();
  const outward = await call('PATCH', `${services}/plain`, { spec: { type: 'LoadBalancer' } }, merge);
  expect(outward.headers.get('warning')).toContain('reached by its ClusterIP alone');
});

test('the namespaces that all else stands on are not deleted', async () => {
  const refused = await call('DELETE', '/api/v1/namespaces/default');
  expect(refused.code).toBe(403);
  expect(refused.body['message']).toBe(
    'namespaces "default" is forbidden: this namespace may not be deleted',
  );
  expect((await call('GET', '/api/v1/namespaces/default')).body).toMatchObject({
    status: { phase: 'Active' },
  });
});

describe('jobs', () => {
  const jobs = '/apis/batch/v1/namespaces/default/jobs';
  const template = { metadata: { labels: { a: 'b' } }, spec: { restartPolicy: 'Never', containers } };

  test('select their own pods by their UID', async () => {
    const { body } = await call('POST', jobs, { metadata: { generateName: 'j-' }, spec: { template } });
    const { name, uid } = body['metadata'] as unknown as { name: string; uid: string };
    expect(body['spec']).toMatchObject({
      selector: { matchLabels: { 'batch.kubernetes.io/controller-uid': uid } },
      template: {
        metadata: {
          labels: {
            a: 'b',
            'batch.kubernetes.io/controller-uid': uid,
            'batch.kubernetes.io/job-name': name,
            'controller-uid': uid,
            'job-name': name,
          },
        },
      },
    });
  });

  test('may be applied again, by any manager: nobody owns what selects their pods', async () => {
    const apply = { 'content-type': 'application/apply-patch+yaml' };
    const applied = {
      apiVersion: 'batch/v1',
      kind: 'Job',
      metadata: { name: 'applied' },
      spec: { template },
    };
    const made = await call('POST', `${jobs}?fieldManager=one`, applied);
    const again = await call('PATCH', `${jobs}/applied?fieldManager=one&force=true`, applied, apply);
    expect(again.code).toBe(200);
    const third = await call('PATCH', `${jobs}/applied?fieldManager=one`, applied, apply);
    expect(third.code).toBe(200);
    expect(third.body['spec']?.['selector']).toEqual(made.body['spec']?.['selector']);
    expect(JSON.stringify(made.body['metadata']?.['managedFields'])).not.toContain('controller-uid');
  });

  test('are left their selector where they ask for that', async () => {
    const spec = { manualSelector: true, selector: { matchLabels: { a: 'b' } }, template };
    const { body } = await call('POST', jobs, { metadata: { name: 'manual' }, spec });
    expect(body['spec']).toMatchObject(spec);
    expect(body['spec']?.['template']?.['metadata']?.['labels']).toEqual({ a: 'b' });
  });
});

describe('services', () => {
  const services = '/api/v1/namespaces/default/services';
  const service = (name: string, spec: object = {}) => ({
    metadata: { name },
    spec: { ports: [{ port: 80 }], selector: { a: 'b' }, ...spec },
  });

  test('get addresses of their own, never one twice, and keep them', async () => {
    const made = await Promise.all(
      Array.from({ length: 40 }, (_, i) => call('POST', services, service(`s${i}`))),
    );
    const addresses = made.map(({ body }) => String(body['spec']?.['clusterIP']));
    expect(new Set(addresses).size).toBe(40);
    for (const address of addresses) expect(serviceRange('10.96.0.0/16').contains(address)).toBe(true);
    expect(addresses).not.toContain('10.96.0.1');
    const updated = await call('PUT', `${services}/s0`, service('s0', { selector: { c: 'd' } }));
    expect(updated.body['spec']?.['clusterIP']).toBe(addresses[0]);
    const moved = await call('PATCH', `${services}/s0`, { spec: { clusterIP: '10.96.1.1' } }, merge);
    expect(moved.code).toBe(422);
  });

  test('an asked address is given once, and only from the range; headless gets none', async () => {
    expect((await call('POST', services, service('asked', { clusterIP: '10.96.7.7' }))).code).toBe(201);
    expect((await call('POST', services, service('again', { clusterIP: '10.96.7.7' }))).code).toBe(422);
    expect((await call('POST', services, service('out', { clusterIP: '192.168.1.1' }))).code).toBe(422);
    const headless = await call('POST', services, service('headless', { clusterIP: 'None' }));
    expect(headless.body['spec']?.['clusterIP']).toBe('None');
    await call('DELETE', `${services}/asked`);
    expect((await call('POST', services, service('again', { clusterIP: '10.96.7.7' }))).code).toBe(201);
  });

  test('two that race for one address: one gets it', async () => {
    const race = await Promise.all(
      Array.from({ length: 10 }, (_, i) =>
        call('POST', services, service(`race${i}`, { clusterIP: '10.96.9.9' })),
      ),
    );
    expect(race.filter(({ code }) => code === 201)).toHaveLength(1);
  });

  test('default/kubernetes is the first of the range, with its endpoints', async () => {
    expect((await call('GET', `${services}/kubernetes`)).body).toMatchObject({
      spec: { clusterIP: '10.96.0.1', ports: [{ port: 443 }] },
    });
    const slice = '/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/kubernetes';
    expect((await call('GET', slice)).body).toMatchObject({ endpoints: [{ addresses: ['127.0.0.1'] }] });
  });
});

describe('storage', () => {
  const classes = '/apis/storage.k8s.io/v1/storageclasses';
  const claims = '/api/v1/namespaces/default/persistentvolumeclaims';
  const claim = (name: string, spec: object = {}) => ({
    metadata: { name },
    spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } }, ...spec },
  });
  const storageClass = (name: string, more: object, isDefault = false) => ({
    metadata: {
      name,
      ...(isDefault ? { annotations: { 'storageclass.kubernetes.io/is-default-class': 'true' } } : {}),
    },
    provisioner: 'x.io/y',
    ...more,
  });

  test('a claim without a class gets the default one; an empty name stays none', async () => {
    expect((await call('POST', claims, claim('early'))).body['spec']).not.toHaveProperty('storageClassName');
    await call('POST', classes, storageClass('other', {}));
    await call('POST', classes, storageClass('standard', {}, true));
    expect((await call('POST', claims, claim('a'))).body['spec']).toMatchObject({
      storageClassName: 'standard',
    });
    expect((await call('POST', claims, claim('b', { storageClassName: '' }))).body['spec']).toMatchObject({
      storageClassName: '',
    });
    expect((await call('GET', `${claims}/a`)).body['metadata']?.['finalizers']).toEqual([
      'kubernetes.io/pvc-protection',
    ]);
  });

  test('a claim grows only when bound, and where its class allows it', async () => {
    await call('POST', classes, storageClass('grows', { allowVolumeExpansion: true }));
    await call('POST', classes, storageClass('fixed', {}));
    const grow = (name: string) =>
      call('PATCH', `${claims}/${name}`, { spec: { resources: { requests: { storage: '2Gi' } } } }, merge);
    for (const name of ['grows', 'fixed'])
      await call('POST', claims, claim(name, { storageClassName: name, volumeName: 'v' }));
    expect((await grow('grows')).code).toBe(422);
    for (const name of ['grows', 'fixed'])
      await call('PATCH', `${claims}/${name}/status`, { status: { phase: 'Bound' } }, merge);
    expect((await grow('grows')).code).toBe(200);
    const refused = await grow('fixed');
    expect(refused.code).toBe(403);
    expect(refused.body['message']).toContain('only dynamically provisioned pvc can be resized');
  });
});

describe('pods', () => {
  const pods = '/api/v1/namespaces/default/pods';
  const spec = (more: object = {}) => ({ containers, ...more });

  test('get the priority of their class, and tolerate a lost node for a while', async () => {
    const made = await call('POST', pods, {
      metadata: { name: 'critical' },
      spec: spec({ priorityClassName: 'system-node-critical' }),
    });
    expect(made.body['spec']).toMatchObject({ priority: 2_000_001_000 });
    const tolerations = made.body['spec']?.['tolerations'] as unknown as { key: string }[];
    expect(tolerations.map(({ key }) => key).sort()).toEqual([
      'node.kubernetes.io/not-ready',
      'node.kubernetes.io/unreachable',
    ]);
    const none = await call('POST', pods, {
      metadata: { name: 'x' },
      spec: spec({ priorityClassName: 'nope' }),
    });
    expect(none.code).toBe(403);
    expect(none.body['message']).toBe('pods "x" is forbidden: no PriorityClass with name nope was found');
  });

  test.each([
    ['BestEffort', {}],
    ['Burstable', { requests: { cpu: '1' } }],
    ['Burstable', { limits: { cpu: '1' } }],
    ['Guaranteed', { limits: { cpu: '1', memory: '1Gi' } }],
    ['Burstable', { requests: { cpu: '500m', memory: '1Gi' }, limits: { cpu: '1', memory: '1Gi' } }],
    ['Guaranteed', { requests: { cpu: '1000m', memory: '1024Mi' }, limits: { cpu: '1', memory: '1Gi' } }],
  ])('begin Pending, as %s for %j', async (qosClass, resources) => {
    const made = await call('POST', pods, {
      metadata: { generateName: 'qos-' },
      spec: { containers: [{ name: 'c', image: 'i', resources }] },
      status: { phase: 'Running' },
    });
    expect(made.body['status']).toEqual({ phase: 'Pending', qosClass });
  });

  test('are bound to a node once', async () => {
    await call('POST', pods, { metadata: { name: 'bind' }, spec: spec() });
    const binding = (node: string) => ({ metadata: { name: 'bind' }, target: { kind: 'Node', name: node } });
    const raced = await Promise.all(
      ['n1', 'n2', 'n3'].map((node) => call('POST', `${pods}/bind/binding`, binding(node))),
    );
    expect(raced.map(({ code }) => code).sort()).toEqual([201, 409, 409]);
    const bound = (await call('GET', `${pods}/bind`)).body;
    expect(['n1', 'n2', 'n3']).toContain(bound['spec']?.['nodeName']);
    expect(bound['status']?.['conditions']).toMatchObject([{ type: 'PodScheduled', status: 'True' }]);
    const refused = raced.find(({ code }) => code === 409);
    expect(refused?.body['message']).toContain('pod bind is already assigned to node');
  });

  test('are evicted as far as their disruption budget allows', async () => {
    const budgets = '/apis/policy/v1/namespaces/default/poddisruptionbudgets';
    await call('POST', budgets, {
      metadata: { name: 'b' },
      spec: { minAvailable: 1, selector: { matchLabels: { a: 'e' } } },
    });
    const status = {
      observedGeneration: 1,
      disruptionsAllowed: 1,
      currentHealthy: 2,
      desiredHealthy: 1,
      expectedPods: 2,
    };
    await call('PATCH', `${budgets}/b/status`, { status }, merge);
    for (const name of ['e1', 'e2']) {
      await call('POST', pods, { metadata: { name, labels: { a: 'e' } }, spec: spec() });
      await call('PATCH', `${pods}/${name}/status`, { status: { phase: 'Running' } }, merge);
    }
    const evict = (name: string) =>
      call('POST', `${pods}/${name}/eviction`, {
        apiVersion: 'policy/v1',
        kind: 'Eviction',
        metadata: { name },
      });
    expect((await evict('e1')).code).toBe(201);
    expect((await call('GET', `${pods}/e1`)).code).toBe(404);
    const blocked = await evict('e2');
    expect(blocked.code).toBe(429);
    expect(blocked.body['details']?.['causes']).toMatchObject([{ reason: 'DisruptionBudget' }]);
    expect((await call('GET', `${pods}/e2`)).code).toBe(200);
  });
});

test.each(['10.96.0.0/31', '10.96.0/16', 'fd00::/108', '300.1.1.0/24'])('the range %s is refused', (cidr) => {
  expect(() => serviceRange(cidr)).toThrow(`service range ${cidr}`);
});

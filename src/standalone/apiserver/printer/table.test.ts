import { expect, test } from 'vitest';
import type { ApiObject, Json, JsonObject, KindInfo } from '../kind.ts';
import { builtinKinds } from '../schema/builtin-kinds.ts';
import { kindsOfCrd } from '../schema/crd.ts';
import { toTable } from './table.ts';
import { cephClusterCrd } from '../../../../test/support/cephcluster-crd.ts';

const nowMs = Date.parse('2026-03-01T12:00:00Z');
const created = '2026-03-01T10:30:00Z';
const kinds = new Map(builtinKinds().map((kind) => [kind.kind, kind]));
const request = { includeObject: 'Metadata', listMeta: { resourceVersion: '7' }, nowMs, headers: true };

interface Row {
  readonly cells: Json[];
  readonly object?: JsonObject;
}

/** Each column's name with its cell, for one object. */
function shown(kind: KindInfo, object: object): Record<string, Json> {
  const full = { metadata: { name: 'x', creationTimestamp: created }, ...object } as unknown as ApiObject;
  const table = toTable(kind, [full], request);
  const names = (table['columnDefinitions'] as { name: string }[]).map(({ name }) => name);
  const [row] = table['rows'] as unknown as Row[];
  expect(row?.cells).toHaveLength(names.length);
  return Object.fromEntries(names.map((name, i) => [name, row?.cells[i] ?? null]));
}

const show = (kind: string, object: object) => shown(kinds.get(kind) as KindInfo, object);

test('every built-in kind has a cell for each column, also of an object with nothing in it', () => {
  for (const kind of kinds.values()) {
    const bare = { roleRef: { kind: 'Role', name: 'r' } };
    expect(Object.keys(shown(kind, bare)).length).toBeGreaterThan(1);
  }
});

test('deployments, jobs and daemon sets', () => {
  const template = { spec: { containers: [{ name: 'a', image: 'i' }], nodeSelector: { disk: 'ssd' } } };
  const selector = { matchLabels: { app: 'web' }, matchExpressions: [{ key: 'b', operator: 'Exists' }] };
  const deployment = show('Deployment', {
    spec: { replicas: 3, template, selector },
    status: { readyReplicas: 2, updatedReplicas: 3, availableReplicas: 1 },
  });
  expect(deployment).toEqual({
    Name: 'x',
    Ready: '2/3',
    'Up-to-date': 3,
    Available: 1,
    Age: '90m',
    Containers: 'a',
    Images: 'i',
    Selector: 'app=web,b',
  });
  expect(show('DaemonSet', { spec: { template, selector }, status: { numberReady: 1 } })).toMatchObject({
    Desired: 0,
    Ready: 1,
    'Node Selector': 'disk=ssd',
  });
  const done = {
    startTime: '2026-03-01T11:00:00Z',
    completionTime: '2026-03-01T11:00:42Z',
    succeeded: 1,
    conditions: [{ type: 'Complete', status: 'True' }],
  };
  const job = { spec: { completions: 1, template }, status: done };
  expect(show('Job', job)).toMatchObject({ Status: 'Complete', Completions: '1/1', Duration: '42s' });
  expect(show('Job', { spec: { completions: 2, template } })).toMatchObject({
    Status: 'Running',
    Completions: '0/2',
    Duration: '',
  });
});

test('nodes', () => {
  const status = {
    conditions: [{ type: 'Ready', status: 'True' }],
    addresses: [{ type: 'InternalIP', address: '10.245.0.11' }],
    nodeInfo: { kubeletVersion: 'v1.32.0', osImage: 'Debian 12' },
  };
  const metadata = { name: 'node1', creationTimestamp: created, labels: { 'node-role.kubernetes.io/b': '' } };
  expect(show('Node', { metadata, status })).toMatchObject({
    Status: 'Ready',
    Roles: 'b',
    Version: 'v1.32.0',
    'Internal-IP': '10.245.0.11',
    'External-IP': '<none>',
    'OS-Image': 'Debian 12',
    'Kernel-Version': '<unknown>',
  });
  const cordoned = {
    spec: { unschedulable: true },
    status: { conditions: [{ type: 'Ready', status: 'Unknown' }] },
  };
  expect(show('Node', cordoned)).toMatchObject({ Status: 'NotReady,SchedulingDisabled', Roles: '<none>' });
  expect(show('Node', {})).toMatchObject({ Status: 'Unknown' });
});

test('volumes, claims and classes', () => {
  const spec = {
    capacity: { storage: '1Gi' },
    accessModes: ['ReadWriteMany', 'ReadWriteOnce'],
    persistentVolumeReclaimPolicy: 'Delete',
    storageClassName: 'rook-ceph-block',
    claimRef: { namespace: 'default', name: 'data' },
    volumeMode: 'Block',
  };
  expect(show('PersistentVolume', { spec, status: { phase: 'Bound' } })).toEqual({
    Name: 'x',
    Capacity: '1Gi',
    'Access Modes': 'RWO,RWX',
    'Reclaim Policy': 'Delete',
    Status: 'Bound',
    Claim: 'default/data',
    StorageClass: 'rook-ceph-block',
    VolumeAttributesClass: '<unset>',
    Reason: '',
    Age: '90m',
    VolumeMode: 'Block',
  });
  const status = { phase: 'Bound', capacity: { storage: '1Gi' }, accessModes: ['ReadWriteOnce'] };
  expect(show('PersistentVolumeClaim', { spec: { volumeName: 'pv1' }, status })).toMatchObject({
    Status: 'Bound',
    Volume: 'pv1',
    Capacity: '1Gi',
    'Access Modes': 'RWO',
  });
  expect(show('PersistentVolumeClaim', { spec: {}, status: { ...status, phase: 'Pending' } })).toMatchObject({
    Status: 'Pending',
    Volume: '',
    Capacity: '',
  });
  const going = { name: 'x', deletionTimestamp: created };
  expect(show('PersistentVolumeClaim', { metadata: going, status })).toMatchObject({ Status: 'Terminating' });
  const annotations = { 'storageclass.kubernetes.io/is-default-class': 'true' };
  expect(show('StorageClass', { metadata: { name: 'fast', annotations }, provisioner: 'p' })).toMatchObject({
    Name: 'fast (default)',
    Provisioner: 'p',
    ReclaimPolicy: 'Delete',
    AllowVolumeExpansion: false,
  });
});

test('services and endpoints', () => {
  const ports = [
    { port: 80, protocol: 'TCP' },
    { port: 53, nodePort: 30053, protocol: 'UDP' },
  ];
  const spec = { type: 'NodePort', clusterIP: '10.96.0.9', ports, selector: { a: 'b' } };
  expect(show('Service', { spec })).toMatchObject({
    Type: 'NodePort',
    'Cluster-IP': '10.96.0.9',
    'External-IP': '<none>',
    'Port(s)': '80/TCP,53:30053/UDP',
    Selector: 'a=b',
  });
  expect(show('Service', { spec: { type: 'LoadBalancer' } })).toMatchObject({ 'External-IP': '<pending>' });
  const addresses = ['1', '2', '3', '4'].map((ip) => ({ ip: `10.0.0.${ip}` }));
  expect(show('Endpoints', { subsets: [{ addresses, ports: [{ port: 80 }] }] })).toMatchObject({
    Endpoints: '10.0.0.1:80,10.0.0.2:80,10.0.0.3:80 + 1 more...',
  });
});

test('events in both spellings', () => {
  const about = { kind: 'Pod', name: 'web' };
  const old = { involvedObject: about, message: 'Pulled\n', type: 'Normal', reason: 'Pulled', count: 3 };
  const row = { Object: 'pod/web', Message: 'Pulled', 'Last Seen': '60m' };
  expect(show('Event', { ...old, lastTimestamp: '2026-03-01T11:00:00Z' })).toMatchObject({
    ...row,
    Count: 3,
  });
  expect(
    show('Event', { regarding: about, note: 'Pulled', eventTime: '2026-03-01T11:00:00.5Z' }),
  ).toMatchObject({
    ...row,
    'Last Seen': '59m',
    Count: 1,
  });
});

const column = (name: string, type: string, jsonPath: string, priority = 0) => ({
  name,
  type,
  jsonPath,
  priority,
});
const crd = cephClusterCrd(
  { type: 'object' },
  {
    additionalPrinterColumns: [
      column('DataDirHostPath', 'string', '.spec.dataDirHostPath'),
      column('MonCount', 'string', '.spec.mon.count'),
      column('Age', 'date', '.metadata.creationTimestamp'),
      column('Ready', 'string', '.status.conditions[?(@.type=="Ready")].status'),
      column('Osds', 'integer', '.status.osds'),
      column('Paused', 'boolean', '.spec.paused', 1),
      column('Changed', 'date', '.status.changed'),
      column('Hosts', 'string', '.status.hosts'),
    ],
  },
);

test("a custom kind's columns", () => {
  const [kind] = kindsOfCrd(crd).kinds;
  const found = shown(kind as KindInfo, {
    spec: { dataDirHostPath: '/var/lib/rook', mon: { count: 3 }, paused: true },
    status: {
      conditions: [{ type: 'Ready', status: 'True' }],
      osds: 2,
      changed: 'yesterday',
      hosts: ['a', 'b'],
    },
  });
  expect(found).toEqual({
    Name: 'x',
    DataDirHostPath: '/var/lib/rook',
    MonCount: '3',
    Age: '90m',
    Ready: 'True',
    Osds: 2,
    Paused: true,
    Changed: '<invalid>',
    Hosts: '["a","b"]',
  });
  const bare = shown(kind as KindInfo, { status: { osds: 'two' } });
  expect(bare).toMatchObject({ DataDirHostPath: null, Ready: null, Osds: null, Paused: null, Changed: null });
});

test('what comes with a row, and no headers after the first event of a watch', () => {
  const kind = kinds.get('ConfigMap') as KindInfo;
  const object = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'c' }, data: { a: 'b' } };
  const row = (includeObject: string) => {
    const table = toTable(kind, [object as unknown as ApiObject], { ...request, includeObject });
    return (table['rows'] as unknown as Row[])[0];
  };
  expect(row('None')?.object).toBeUndefined();
  expect(row('Metadata')?.object).toEqual({
    kind: 'PartialObjectMetadata',
    apiVersion: 'meta.k8s.io/v1',
    metadata: { name: 'c' },
  });
  expect(row('Object')?.object).toEqual(object);
  const later = toTable(kind, [object as unknown as ApiObject], { ...request, headers: false });
  expect(later['columnDefinitions']).toBeNull();
  expect(later['metadata']).toEqual({ resourceVersion: '7' });
});

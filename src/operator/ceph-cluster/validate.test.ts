import { expect, test } from 'vitest';
import type { CephClusterSpec } from '../../api/ceph/ceph-cluster.ts';
import { validatePool } from '../block-pool/validate.ts';
import { startingPgNum } from '../block-pool/placement-groups.ts';
import { isVersionSupported, versionInImageName } from './ceph-version.ts';
import { readEndpoints } from './endpoints.ts';
import { monLetter } from './mon-plan.ts';
import { validateCluster } from './validate.ts';

const good: CephClusterSpec = {
  cephVersion: { image: 'quay.io/ceph/ceph:v16.2.15' },
  dataDirHostPath: '/var/lib/rook',
  mon: { count: 3 },
};
const fields = (spec: CephClusterSpec) => validateCluster(spec).map((problem) => problem.field);

test('a good spec has no problems', () => {
  expect(validateCluster(good)).toEqual([]);
});

test('everything that is wrong is said at once, each with its field and what would be right', () => {
  const problems = validateCluster({
    ...good,
    mon: { count: 10 },
    dataDirHostPath: '/etc/ceph/',
    storage: { config: { databaseSizeMB: '-5' }, deviceFilter: '[' },
    logCollector: { maxLogSize: '-1Gi' },
  });
  expect(problems.map((problem) => problem.field)).toEqual([
    'spec.mon.count',
    'spec.dataDirHostPath',
    'spec.storage.deviceFilter',
    'spec.storage.config.databaseSizeMB',
    'spec.logCollector.maxLogSize',
  ]);
  expect(problems[0]?.message).toBe('is 10, but must be 1 to 9; 3 fits most clusters');
});

test.each<[string, Partial<CephClusterSpec>, string]>([
  ['no data folder', { dataDirHostPath: undefined }, 'spec.dataDirHostPath'],
  ['the root as data folder', { dataDirHostPath: '/' }, 'spec.dataDirHostPath'],
  ['a way out of the folder', { dataDirHostPath: '/var/lib/../rook' }, 'spec.dataDirHostPath'],
  ['no mons', { mon: { count: 0 } }, 'spec.mon.count'],
  [
    'nodes beside useAllNodes',
    { storage: { useAllNodes: true, nodes: [{ name: 'n' }] } },
    'spec.storage.nodes',
  ],
  ['a node twice', { storage: { nodes: [{ name: 'n' }, { name: 'n' }] } }, 'spec.storage.nodes[1].name'],
  ['ratios in the wrong order', { storage: { nearFullRatio: 0.97 } }, 'spec.storage.nearFullRatio'],
  ['multus without a network', { network: { provider: 'multus' } }, 'spec.network.selectors'],
  ['an old Ceph', { cephVersion: { image: 'quay.io/ceph/ceph:v14.2.0' } }, 'spec.cephVersion.image'],
  [
    'two mons on one node’s ports',
    { network: { provider: 'host' }, mon: { count: 3, allowMultiplePerNode: true } },
    'spec.mon.allowMultiplePerNode',
  ],
])('%s is refused', (_, part, field) => {
  expect(fields({ ...good, ...part })).toContain(field);
});

test('a pool of one copy must be meant, and erasure code is refused with what to do', () => {
  expect(validatePool({ replicated: { size: 1 } })[0]?.message).toContain('requireSafeReplicaSize: false');
  expect(validatePool({ replicated: { size: 1, requireSafeReplicaSize: false } })).toEqual([]);
  expect(validatePool({ erasureCoded: { dataChunks: 2, codingChunks: 1 } })[0]?.field).toBe(
    'spec.erasureCoded',
  );
  expect(validatePool({})[0]?.field).toBe('spec.replicated.size');
});

test('placement groups start as a power of two, a fair share of the OSDs’', () => {
  expect(startingPgNum(3, 3, undefined)).toBe(32);
  expect(startingPgNum(1, 3, undefined)).toBe(8);
  expect(startingPgNum(300, 3, 1)).toBe(1024);
});

test('a tag that is a version says which Ceph is in the image', () => {
  expect(versionInImageName('quay.io/ceph/ceph:v16.2.15')).toMatchObject({ major: 16, minor: 2, patch: 15 });
  expect(versionInImageName('quay.io/ceph/ceph:v19.2.3-20250717')).toMatchObject({ major: 19 });
  expect(versionInImageName('registry:5000/ceph')).toBeUndefined();
  expect(isVersionSupported({ major: 15 })).toBe(false);
});

test('mons are named as Rook names them, and its endpoints are read', () => {
  expect([0, 25, 26, 27].map(monLetter)).toEqual(['a', 'z', 'aa', 'ab']);
  const map = {
    data: {
      data: 'a=10.96.0.5:6789,c=[fd00::5]:3300',
      maxMonId: '2',
      mapping: '{"node":{"a":{"Name":"n1","Hostname":"h1","Address":"10.0.0.1"}}}',
    },
  };
  expect(readEndpoints(map)).toEqual({
    maxId: 2,
    mons: [
      { name: 'a', address: '10.96.0.5', node: 'n1', hostname: 'h1' },
      { name: 'c', address: 'fd00::5', node: '', hostname: '' },
    ],
  });
});

import type {
  PersistentVolume,
  PersistentVolumeClaimSpec,
  PersistentVolumeSpec,
} from 'kubernetes-types/core/v1.js';
import { expect, test } from 'vitest';
import { createObjectStore } from '../../../kube/object-store.ts';
import type { Cache } from '../../../kube/cache.ts';
import { findVolume, mismatch, volumeIndexes, volumesOpenTo, type Claim, type Volume } from './match.ts';

const metadata = (name: string) => ({
  name,
  uid: `uid-${name}`,
  resourceVersion: '1',
  creationTimestamp: '2026-01-01T00:00:00Z',
});
const volume = (name: string, size: string, spec: Partial<PersistentVolumeSpec> = {}): Volume => ({
  apiVersion: 'v1',
  kind: 'PersistentVolume',
  metadata: metadata(name),
  spec: { capacity: { storage: size }, accessModes: ['ReadWriteOnce'], storageClassName: 'slow', ...spec },
  status: { phase: 'Available' },
});
const claim = (size: string, spec: Partial<PersistentVolumeClaimSpec> = {}): Claim => ({
  apiVersion: 'v1',
  kind: 'PersistentVolumeClaim',
  metadata: { ...metadata('c'), namespace: 'default' },
  spec: {
    accessModes: ['ReadWriteOnce'],
    storageClassName: 'slow',
    resources: { requests: { storage: size } },
    ...spec,
  },
});
const found = (volumes: Volume[], wanted: Claim, onlySetAside = false) =>
  findVolume(volumes, wanted, onlySetAside)?.metadata.name;

test('the smallest volume that is large enough', () => {
  expect(found([volume('big', '10Gi'), volume('fit', '5Gi'), volume('small', '1Gi')], claim('2Gi'))).toBe(
    'fit',
  );
});

test('fewest access modes come before size', () => {
  const shared = volume('shared', '2Gi', { accessModes: ['ReadWriteOnce', 'ReadWriteMany'] });
  expect(found([shared, volume('single', '9Gi')], claim('2Gi'))).toBe('single');
  expect(found([shared, volume('single', '9Gi')], claim('2Gi', { accessModes: ['ReadWriteMany'] }))).toBe(
    'shared',
  );
});

test('one set aside for this claim wins over a better fit, and is never given to another', () => {
  const aside = volume('aside', '50Gi', { claimRef: { namespace: 'default', name: 'c' } });
  expect(found([volume('fit', '2Gi'), aside], claim('2Gi'))).toBe('aside');
  const other = volume('other', '2Gi', { claimRef: { namespace: 'default', name: 'someone' } });
  expect(found([other], claim('2Gi'))).toBeUndefined();
});

test('a claim made anew under the same name does not get the old one’s volume', () => {
  const old = volume('old', '2Gi', {
    claimRef: { namespace: 'default', name: 'c', uid: 'of-the-deleted-one' },
  });
  expect(found([old], claim('2Gi'))).toBeUndefined();
});

test('nothing but a volume set aside while the claim waits for its first consumer', () => {
  expect(found([volume('fit', '2Gi')], claim('2Gi'), true)).toBeUndefined();
});

test('only free volumes and those that name the claim are looked at', () => {
  const store = createObjectStore<PersistentVolume>();
  store.addIndexes(volumeIndexes);
  const naming = (name: string) => ({ claimRef: { namespace: 'default', name } });
  for (const one of [
    volume('free', '2Gi'),
    volume('ours', '2Gi', naming('c')),
    volume('theirs', '2Gi', naming('d')),
    volume('elsewhere', '2Gi', { claimRef: { namespace: 'other', name: 'c' } }),
  ])
    store.set(one);
  const open = () =>
    volumesOpenTo(store as unknown as Cache<PersistentVolume>, claim('2Gi')).map((one) => one.metadata.name);
  expect(open()).toEqual(['ours', 'free']);

  store.set(volume('free', '2Gi', naming('d')));
  store.set(volume('theirs', '2Gi'));
  expect(open()).toEqual(['ours', 'theirs']);
});

test('labels are selected by', () => {
  const fast = { ...volume('fast', '9Gi'), metadata: { ...metadata('fast'), labels: { tier: 'fast' } } };
  const selector = {
    matchLabels: { tier: 'fast' },
    matchExpressions: [{ key: 'old', operator: 'DoesNotExist' }],
  };
  expect(found([volume('slow', '2Gi'), fast], claim('2Gi', { selector }))).toBe('fast');
});

test.each([
  ['size', volume('v', '1Gi'), 'requested PV is too small'],
  ['class', volume('v', '2Gi', { storageClassName: 'fast' }), 'storageClassName does not match'],
  ['mode', volume('v', '2Gi', { volumeMode: 'Block' }), 'incompatible volumeMode'],
  ['access', volume('v', '2Gi', { accessModes: ['ReadOnlyMany'] }), 'incompatible accessMode'],
])('says what does not fit: %s', (_, candidate, why) => {
  expect(mismatch(candidate, claim('2Gi'))).toBe(why);
});

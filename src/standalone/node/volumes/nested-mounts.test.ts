import type { Pod } from 'kubernetes-types/core/v1.js';
import { expect, test } from 'vitest';
import { nestedMounts } from './nested-mounts.ts';

const pod = (...mounts: { name: string; mountPath: string; subPath?: string }[]): Pod => ({
  spec: { containers: [{ name: 'main', image: 'x', volumeMounts: mounts }] },
});

test('a mount below another is made in the closest one', () => {
  const mounts = [
    { name: 'all', mountPath: '/etc' },
    { name: 'conf', mountPath: '/etc/ceph' },
    { name: 'keys', mountPath: '/etc/ceph/keyring-store/' },
    { name: 'data', mountPath: '/etc/cephadm' },
  ];
  expect(nestedMounts(pod(...mounts))).toEqual([
    { volume: 'all', path: 'ceph' },
    { volume: 'conf', path: 'keyring-store' },
    { volume: 'all', path: 'cephadm' },
  ]);
});

test('files mounted by subPath are left to the runtime', () => {
  const mounts = [
    { name: 'conf', mountPath: '/etc/ceph' },
    { name: 'file', mountPath: '/etc/ceph/one', subPath: 'one' },
  ];
  expect(nestedMounts(pod(...mounts))).toEqual([]);
});

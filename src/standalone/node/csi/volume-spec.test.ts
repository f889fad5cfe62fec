import type { PersistentVolume } from 'kubernetes-types/core/v1.js';
import type { CSIDriver } from 'kubernetes-types/storage/v1.js';
import { expect, test } from 'vitest';
import { VolumeCapability_AccessMode_Mode as Mode } from '../../../gen/csi/v1/csi_pb.js';
import { attachmentName, stagePath, uniqueVolumeName } from './paths.ts';
import { csiAccessMode, volumeCapability, wantsFsGroup } from './volume-spec.ts';
import { volumesInUse } from './volumes-in-use.ts';

const volume = (spec: object): PersistentVolume => ({ metadata: { name: 'pv' }, spec });
const driver = (fsGroupPolicy?: string): CSIDriver =>
  ({ metadata: { name: 'd' }, spec: fsGroupPolicy ? { fsGroupPolicy } : {} }) as CSIDriver;

test.each([
  [['ReadWriteOnce'], false, Mode.SINGLE_NODE_WRITER],
  [['ReadWriteOnce'], true, Mode.SINGLE_NODE_MULTI_WRITER],
  [['ReadWriteOncePod'], true, Mode.SINGLE_NODE_SINGLE_WRITER],
  [['ReadWriteOncePod'], false, Mode.SINGLE_NODE_WRITER],
  [['ReadOnlyMany'], false, Mode.MULTI_NODE_READER_ONLY],
  [['ReadWriteOnce', 'ReadWriteMany'], false, Mode.MULTI_NODE_MULTI_WRITER],
  [undefined, false, Mode.UNKNOWN],
])('%s (told apart: %s)', (modes, singleWriter, wanted) => {
  expect(csiAccessMode(modes, singleWriter)).toBe(wanted);
});

test('a device has no filesystem, a mount has its own and its options', () => {
  const modes = { accessModes: ['ReadWriteOnce'] };
  expect(
    volumeCapability({ volume: volume({ ...modes, volumeMode: 'Block' }), singleWriter: false }).accessType
      ?.case,
  ).toBe('block');
  const mount = volumeCapability({
    volume: volume({ ...modes, mountOptions: ['noatime'], csi: { fsType: 'xfs' } }),
    singleWriter: false,
    mountGroup: 7,
  });
  expect(mount.accessType?.value).toEqual({ fsType: 'xfs', mountFlags: ['noatime'], volumeMountGroup: '7' });
});

test('who gives the volume to the group', () => {
  const typed = volume({ accessModes: ['ReadWriteOnce'], csi: { fsType: 'ext4' } });
  const shared = volume({ accessModes: ['ReadWriteMany'], csi: { fsType: 'ext4' } });
  const untyped = volume({ accessModes: ['ReadWriteOnce'], csi: {} });
  expect([typed, shared, untyped].map((one) => wantsFsGroup(driver(), one))).toEqual([true, false, false]);
  expect([typed, shared, untyped].map((one) => wantsFsGroup(driver('File'), one))).toEqual([
    true,
    true,
    true,
  ]);
  expect(wantsFsGroup(driver('None'), typed)).toBe(false);
  expect(wantsFsGroup(undefined, typed)).toBe(true);
});

test('names and places are the ones that attachers and drivers expect', () => {
  expect(attachmentName('h', 'd', 'n')).toMatch(/^csi-[0-9a-f]{64}$/);
  expect(uniqueVolumeName('d.e', 'h/1')).toBe('kubernetes.io/csi/d.e^h/1');
  expect(stagePath('/k', 'd', 'h')).toMatch(
    /^\/k\/plugins\/kubernetes\.io\/csi\/d\/[0-9a-f]{64}\/globalmount$/,
  );
});

test('in use is said to the API before it counts, and again after it was taken off', async () => {
  const writes: string[] = [];
  let away = true;
  const inUse = volumesInUse(() => {
    if (away) return Promise.reject(new Error('away'));
    writes.push(inUse.list().join());
    return Promise.resolve();
  });
  const { signal } = new AbortController();
  await expect(inUse.add('a', signal)).rejects.toThrow('away');
  away = false;
  await inUse.add('a', signal);
  await inUse.add('a', signal);
  inUse.remove('a');
  await inUse.add('a', signal);
  expect(writes).toEqual(['a', '', 'a']);
});

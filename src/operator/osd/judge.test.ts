import { describe, expect, test } from 'vitest';
import type { BluestoreLabel } from '../../host/bluestore-label.ts';
import { judgeDisk } from './judge.ts';
import type { PrepareConfig } from './report.ts';
import type { ScannedDisk } from './scanned-disk.ts';
import { selectDisk } from './select.ts';

const fsid = '11111111-2222-4333-8444-555555555555';
const slot = { uuid: 'aaaaaaaa-bbbb-4ccc-8ddd-000000000001', key: 'k' };
const config: PrepareConfig = {
  node: 'n',
  namespace: 'rook-ceph',
  statusConfigMap: 's',
  run: 'r',
  fsid,
  diskTimeoutSeconds: 1,
  selection: { useAllDevices: true, devices: [] },
  slots: [slot],
};
const disk: ScannedDisk = {
  name: 'sdb',
  paths: ['/dev/sdb', '/dev/disk/by-id/wwn-1'],
  sizeBytes: 20 * 1024 ** 3,
  rotational: true,
};
const label = (osdUuid: string, meta: Record<string, string>): BluestoreLabel => ({
  osdUuid,
  sizeBytes: 1n,
  description: 'main',
  meta: new Map(Object.entries(meta)),
});
const judge = (d = disk, l?: BluestoreLabel, c = config) => judgeDisk(d, l, c, () => slot.uuid);

describe('only a blank, selected disk that is large enough is ever written to', () => {
  test.each([
    [
      'a filesystem',
      { ...disk, refusal: { reason: 'HasFilesystem', message: 'ext4' } },
      undefined,
      'HasFilesystem',
    ],
    ['too small', { ...disk, sizeBytes: 4 * 1024 ** 3 }, undefined, 'TooSmall'],
    [
      'of another cluster',
      disk,
      label('x', { ceph_fsid: 'other', whoami: '3', ready: 'ready' }),
      'OtherCluster',
    ],
    ['ours and running', disk, label('x', { ceph_fsid: fsid, whoami: '3', ready: 'ready' }), 'OsdPrepared'],
    ['ours, unfinished, of an earlier run', disk, label('x', { ceph_fsid: fsid }), 'HasFilesystem'],
    ['a label with nothing in it', disk, label('x', {}), 'OtherCluster'],
  ])('%s is left alone', (_, d, l, reason) => {
    const judgement = judge(d, l);
    expect(judgement.action).toBe('leave');
    expect(judgement.report.reason).toBe(reason);
  });

  test('a blank one is made into an OSD, and one that this run left unfinished is finished', () => {
    expect(judge()).toMatchObject({ action: 'make', uuid: slot.uuid, report: { deviceClass: 'hdd' } });
    expect(judge(disk, label(slot.uuid, {}))).toMatchObject({ action: 'make', uuid: slot.uuid });
  });

  test('one that the spec does not select is named as available', () => {
    const c = { ...config, selection: { useAllDevices: false, devices: [] } };
    expect(judge(disk, undefined, c).report).toMatchObject({ verdict: 'Available', reason: 'NotSelected' });
  });
});

test('listed devices go before filters, filters before useAllDevices', () => {
  const rules = { useAllDevices: true, devices: [] as { path: string; deviceClass?: string }[] };
  expect(selectDisk(disk, rules).taken).toBe(true);
  expect(selectDisk(disk, { ...rules, deviceFilter: '^sd[c-d]$' }).taken).toBe(false);
  expect(selectDisk(disk, { ...rules, devicePathFilter: 'by-id/wwn-.*' }).taken).toBe(true);
  expect(
    selectDisk(disk, {
      ...rules,
      deviceFilter: '^x$',
      devices: [{ path: '/dev/disk/by-id/wwn-1', deviceClass: 'nvme' }],
    }),
  ).toEqual({ taken: true, deviceClass: 'nvme' });
});

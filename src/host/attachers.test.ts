import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { krbdAttacher, mapRequest } from './attach-krbd.ts';
import { nbdAttacher } from './attach-nbd.ts';
import type { AttachRequest } from './attacher.ts';
import { chooseAttacher } from './choose-attacher.ts';
import { isDeviceBusy } from './device-busy.ts';
import { fakeAttacher } from './fake/fake-attacher.ts';
import { fakeHost } from './fake/fake-host.ts';
import { qsdArguments, qsdConf } from './qsd-daemon.ts';
import { qsdLedger } from './qsd-ledger.ts';
import type { HostTools } from './tools.ts';

const request: AttachRequest = {
  clusterId: 'rook-ceph',
  pool: 'replicapool',
  image: 'csi-vol-1',
  monHost: '[v2:10.0.0.1:3300,v1:10.0.0.1:6789],[v2:10.0.0.2:3300,v1:10.0.0.2:6789]',
  user: 'client.csi-rbd-node',
  key: 'c2VjcmV0',
  readOnly: false,
};
const { signal } = new AbortController();
const noTools: HostTools = {
  path: (tool) => `/nowhere/${tool}`,
  run: async (tool) => {
    throw new Error(`${tool} is not there`);
  },
};

let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'attachers-'));
});
afterEach(() => rm(dir, { recursive: true }));

test('qsd: the key is in no argument and not in the conf; commas in names are doubled', () => {
  const files = qsdLedger('/state').files(request);
  const args = qsdArguments({ ...request, pool: 'a,b', namespace: 'ns', readOnly: true }, files);
  expect(args.join(' ')).not.toContain(request.key);
  expect(qsdConf(request, files)).not.toContain(request.key);
  expect(args[1]).toContain('pool=a,,b,namespace=ns,image=csi-vol-1');
  expect(args[1]).toContain('user=csi-rbd-node');
  expect(args[1]).toContain('read-only=on');
  expect(args[3]).toContain('writable=off');
  expect(
    Buffer.byteLength(qsdLedger('/var/lib/kubelet/plugins/holdfast.mounter').files(request).qmp),
  ).toBeLessThan(108);
});

test('qsd: two images never share a folder, however their names are cut', () => {
  const { files } = qsdLedger('/state');
  const dirs = [
    files({ clusterId: 'c', pool: 'p', image: 'n/i' }),
    files({ clusterId: 'c', pool: 'p', namespace: 'n', image: 'i' }),
    files({ clusterId: 'c', pool: 'p/n', image: 'i' }),
  ].map((entry) => entry.dir);
  expect(new Set(dirs).size).toBe(3);
});

test('krbd: what the kernel is told, what it lists, what it does not know', async () => {
  expect(mapRequest({ ...request, namespace: 'ns', readOnly: true })).toBe(
    '10.0.0.1:6789,10.0.0.2:6789 name=csi-rbd-node,secret=c2VjcmV0,_pool_ns=ns,read_only replicapool csi-vol-1 -',
  );
  const device = join(dir, 'bus/rbd/devices/4');
  await mkdir(device, { recursive: true });
  const host = fakeHost();
  const clusterOf = (fsid: string) => (fsid === 'f-1' ? 'rook-ceph' : undefined);
  const krbd = krbdAttacher({ tools: noTools, mounts: host.mounts, sys: dir, clusterOf });
  expect(await krbd.unusable(['layering'])).toBe('the kernel has no rbd module');
  await writeFile(join(dir, 'bus/rbd/supported_features'), '0x2bd\n');
  expect(await krbd.unusable(['layering', 'exclusive-lock', 'object-map'])).toBeUndefined();
  expect(await krbd.unusable(['layering', 'journaling'])).toBe("the kernel's rbd does not know journaling");
  const fields = {
    pool: 'replicapool',
    pool_ns: '',
    name: 'csi-vol-1',
    cluster_fsid: 'f-1',
    major: '252',
    minor: '64',
    size: '1048576',
  };
  for (const [name, value] of Object.entries(fields)) await writeFile(join(device, name), `${value}\n`);
  const attached = await krbd.attach(request, signal);
  expect(attached).toMatchObject({
    clusterId: 'rook-ceph',
    device: '/dev/rbd4',
    major: 252,
    minor: 64,
    alive: true,
  });
  expect(await krbd.resize(request, 1n, signal)).toBe(1048576n);
  host.contents.set('/dev/rbd4', { kind: 'signature', type: 'xfs', usage: 'filesystem', uuid: undefined });
  host.numbers.set('/dev/rbd4', { major: 252, minor: 64 });
  await host.mounts.mount({ source: '/dev/rbd4', target: '/t', fsType: 'xfs' }, signal);
  expect(isDeviceBusy(await krbd.detach(request, signal).catch((error: unknown) => error))).toBe(true);
  await host.mounts.unmount('/t', {}, signal);
  await krbd.detach(request, signal);
  expect(await readFile(join(dir, 'bus/rbd/remove_single_major'), 'utf8')).toBe('4');
});

test('the first attacher that can is chosen, with the reasons against the others', async () => {
  const krbd = krbdAttacher({
    tools: noTools,
    mounts: fakeHost().mounts,
    sys: dir,
    clusterOf: () => undefined,
  });
  const nbd = nbdAttacher({ tools: noTools, mounts: fakeHost().mounts, stateDir: dir, sys: dir });
  const qsd = fakeAttacher('qsd');
  const choice = await chooseAttacher([krbd, nbd, qsd], ['layering']);
  expect(choice).toEqual({
    attacher: qsd,
    reasons: ['krbd: the kernel has no rbd module', 'rbd-nbd: /nowhere/rbd-nbd is missing'],
  });
  expect(await chooseAttacher([qsd], [], 'krbd')).toEqual({
    attacher: undefined,
    reasons: ['qsd: krbd was asked for'],
  });
  qsd.refusal = '/dev/fuse is missing';
  expect((await chooseAttacher([qsd], [])).reasons).toEqual(['qsd: /dev/fuse is missing']);
});

test('the fakes keep state: one device an image, held ones stay, dead ones come anew', async () => {
  const fake = fakeAttacher();
  const first = await fake.attach(request, signal);
  expect(await fake.attach(request, signal)).toEqual(first);
  fake.attachments.get(fake.keyOf(request))!.heldBy = 'a pod';
  await expect(fake.detach(request, signal)).rejects.toThrow('a pod');
  fake.attachments.get(fake.keyOf(request))!.alive = false;
  expect((await fake.attach(request, signal)).minor).not.toBe(first.minor);
  const host = fakeHost();
  expect(await host.filesystems.ensure('/dev/loop0', 'xfs', signal)).toBe('made');
  expect(await host.filesystems.ensure('/dev/loop0', 'xfs', signal)).toBe('existing');
  await expect(host.filesystems.ensure('/dev/loop0', 'ext4', signal)).rejects.toThrow('holds xfs');
});

import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { krbdAttacher, mapRequest } from './attach-krbd.ts';
import { nbdAttacher } from './attach-nbd.ts';
import type { AttachRequest } from './attacher.ts';
import { chooseAttacher, type AttacherWish } from './choose-attacher.ts';
import { isDeviceBusy } from './device-busy.ts';
import { fakeAttacher } from './fake/fake-attacher.ts';
import { fakeHost } from './fake/fake-host.ts';
import { qsdArguments, qsdConf } from './qsd-daemon.ts';
import { qsdLedger } from './qsd-ledger.ts';
import type { HostTools } from './tools.ts';
import { imageKey } from './image-key.ts';

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

/** A pretended /sys and /dev; the kernel's answer to a mapping is there before it is asked. */
async function krbdBench() {
  const host = fakeHost();
  const [bus, dev] = [join(dir, 'bus/rbd'), join(dir, 'dev')];
  const deps = { tools: noTools, mounts: host.mounts, stateDir: join(dir, 'state'), sys: dir, dev };
  await mkdir(join(bus, 'devices'), { recursive: true });
  await mkdir(dev);
  const addDevice = async (id: string, fields: Readonly<Record<string, string>>) => {
    const all = {
      pool: 'replicapool',
      pool_ns: '',
      name: 'csi-vol-1',
      current_snap: '-',
      config_info: '10.0.0.1:6789,10.0.0.2:6789 name=csi-rbd-node,secret=k replicapool csi-vol-1 -',
      major: '252',
      minor: '64',
      size: '1048576',
      ...fields,
    };
    await mkdir(join(bus, 'devices', id));
    for (const [name, value] of Object.entries(all))
      await writeFile(join(bus, 'devices', id, name), `${value}\n`);
  };
  const machineDev = () =>
    host.table.push({
      id: 1,
      parentId: 0,
      major: 0,
      minor: 5,
      root: '/',
      mountPoint: dev,
      options: [],
      propagation: [],
      fsType: 'devtmpfs',
      source: 'udev',
      superOptions: [],
    });
  return { host, bus, dev, deps, addDevice, machineDev, krbd: krbdAttacher(deps) };
}

test('krbd: what the kernel is told', () => {
  expect(mapRequest({ ...request, namespace: 'ns', readOnly: true })).toBe(
    '10.0.0.1:6789,10.0.0.2:6789 name=csi-rbd-node,secret=c2VjcmV0,mount_timeout=30,_pool_ns=ns,read_only replicapool csi-vol-1 -',
  );
  // Monitors that are known by the second protocol's port only: the kernel has to be told to speak it.
  expect(mapRequest({ ...request, monHost: '10.0.0.1:3300,10.0.0.2:3300' })).toMatch(
    /^10\.0\.0\.1:3300,10\.0\.0\.2:3300 .*,ms_mode=prefer-crc /,
  );
  expect(mapRequest({ ...request, monHost: '10.0.0.1:3300,10.0.0.2:6789' })).toMatch(/^10\.0\.0\.2:6789 /);
  expect(() => mapRequest({ ...request, image: 'a b' })).toThrow('image has a character');
  expect(() => mapRequest({ ...request, namespace: 'a,ro' })).toThrow('namespace has a character');
});

test('krbd: used where the kernel knows the features and its devices show', async () => {
  const { krbd, bus, machineDev } = await krbdBench();
  expect(await krbd.unusable(['layering'])).toMatch(/dev is not the machine's own/);
  machineDev();
  expect(await krbd.unusable(['layering'])).toBe('the kernel has no rbd module');
  await writeFile(join(bus, 'supported_features'), '0x2bd\n');
  expect(await krbd.unusable(['layering', 'exclusive-lock', 'object-map', 'data-pool'])).toBeUndefined();
  expect(await krbd.unusable(['layering', 'journaling'])).toBe("the kernel's rbd does not know journaling");
});

test('krbd: a device is found again by what it was mapped with, held while it is mounted, then removed', async () => {
  const { host, krbd, bus, dev, deps, addDevice } = await krbdBench();
  // The same names in another cluster, a snapshot, and one that an administrator mapped.
  await addDevice('1', { config_info: '10.9.9.9:6789 name=x,secret=k replicapool csi-vol-1 -' });
  await addDevice('2', { current_snap: 'snap' });
  await addDevice('3', { name: 'other' });
  await writeFile(join(dev, 'rbd4'), '');
  await expect(krbd.attach(request, signal)).rejects.toThrow('does not list it');
  await addDevice('4', {});
  const attached = await krbd.attach(request, signal);
  expect(attached).toEqual({
    clusterId: 'rook-ceph',
    pool: 'replicapool',
    image: 'csi-vol-1',
    device: '/dev/rbd4',
    major: 252,
    minor: 64,
    alive: true,
  });
  for (const name of await readdir(deps.stateDir))
    expect(await readFile(join(deps.stateDir, name), 'utf8')).not.toContain(request.key);
  expect(await krbdAttacher(deps).list(signal)).toEqual([attached]); // By a process that comes after.
  expect(await krbd.resize(request, 1n, signal)).toBe(1048576n);
  host.contents.set('/dev/rbd4', { kind: 'signature', type: 'xfs', usage: 'filesystem', uuid: undefined });
  host.numbers.set('/dev/rbd4', { major: 252, minor: 64 });
  await host.mounts.mount({ source: '/dev/rbd4', target: '/t', fsType: 'xfs' }, signal);
  expect(isDeviceBusy(await krbd.detach(request, signal).catch((error: unknown) => error))).toBe(true);
  await host.mounts.unmount('/t', {}, signal);
  await krbd.detach(request, signal);
  expect(await readFile(join(bus, 'remove_single_major'), 'utf8')).toBe('4');
  await krbd.detach(request, signal);
});

test('krbd: a refusal says nothing of the key, leaves nothing, and adopts no device of others', async () => {
  const { krbd, bus, deps, addDevice } = await krbdBench();
  await mkdir(join(bus, 'add_single_major'));
  const error = await krbd.attach(request, signal).catch((cause: unknown) => cause);
  expect(String(error)).toContain('the kernel did not map csi-vol-1');
  expect(String(error)).not.toContain(request.key);
  expect(await readdir(deps.stateDir)).toEqual([]);
  await addDevice('4', {}); // Somebody else's `rbd map` of the same image.
  expect(await krbd.list(signal)).toEqual([]);
});

test('the first attacher that can is chosen, with the reasons against the others', async () => {
  const { host, deps, krbd, machineDev } = await krbdBench();
  machineDev();
  const nbd = nbdAttacher({ ...deps, mounts: host.mounts });
  const qsd = fakeAttacher('qsd');
  const choice = await chooseAttacher([krbd, nbd, qsd], ['layering']);
  expect(choice).toEqual({
    attacher: qsd,
    reasons: ['krbd: the kernel has no rbd module', 'rbd-nbd: /nowhere/rbd-nbd is missing'],
  });
  expect(await chooseAttacher([qsd], [], { attacher: 'krbd' })).toEqual({
    attacher: undefined,
    reasons: ['qsd: krbd was asked for'],
  });
  qsd.refusal = '/dev/fuse is missing';
  expect((await chooseAttacher([qsd], [])).reasons).toEqual(['qsd: /dev/fuse is missing']);
});

test('a wish comes first, and with tryOtherMounters gives way', async () => {
  const [krbd, qsd, nbd] = [fakeAttacher('krbd'), fakeAttacher('qsd'), fakeAttacher('rbd-nbd')];
  const choose = async (wish: AttacherWish) => {
    const { attacher, reasons } = await chooseAttacher([krbd, qsd, nbd], [], wish);
    return [attacher?.name, ...reasons];
  };
  expect(await choose({})).toEqual(['krbd']);
  expect(await choose({ attacher: 'rbd-nbd', tryOthers: true })).toEqual(['rbd-nbd']);
  nbd.refusal = 'missing';
  expect(await choose({ attacher: 'rbd-nbd', tryOthers: true })).toEqual(['krbd', 'rbd-nbd: missing']);
  krbd.refusal = 'no module';
  expect(await choose({ attacher: 'krbd', tryOthers: true })).toEqual(['qsd', 'krbd: no module']);
  expect((await choose({ attacher: 'krbd' }))[0]).toBeUndefined();
});

test('the fakes keep state: one device an image, held ones stay, dead ones come anew', async () => {
  const fake = fakeAttacher();
  const first = await fake.attach(request, signal);
  expect(await fake.attach(request, signal)).toEqual(first);
  fake.attachments.get(imageKey(request))!.heldBy = 'a pod';
  await expect(fake.detach(request, signal)).rejects.toThrow('a pod');
  fake.attachments.get(imageKey(request))!.alive = false;
  expect((await fake.attach(request, signal)).minor).not.toBe(first.minor);
  const host = fakeHost();
  expect(await host.filesystems.ensure('/dev/loop0', 'xfs', signal)).toBe('made');
  expect(await host.filesystems.ensure('/dev/loop0', 'xfs', signal)).toBe('existing');
  await expect(host.filesystems.ensure('/dev/loop0', 'ext4', signal)).rejects.toThrow('holds xfs');
});

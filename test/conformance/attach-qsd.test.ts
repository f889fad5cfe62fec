import { setMaxListeners } from 'node:events';
import { mkdir, open, readFile, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { addToBlocklist } from '../../src/ceph/blocklist.ts';
import { newCephxKey } from '../../src/ceph/cephx-key.ts';
import { qsdAttacher, type QsdAttacher } from '../../src/host/attach-qsd.ts';
import type { AttachRequest } from '../../src/host/attacher.ts';
import { isDeviceBusy } from '../../src/host/device-busy.ts';
import { qsdDaemon } from '../../src/host/qsd-daemon.ts';
import { systemClock } from '../../src/lib/clock.ts';
import { silentLogger } from '../../src/lib/log.ts';
import { identifyProcess, signalProcess } from '../../src/lib/process-identity.ts';
import { startCephCluster, type CephCluster } from '../support/ceph-cluster.ts';
import { hostBench } from '../support/host-bench.ts';
import { makeTestFolder } from '../support/test-folder.ts';

// RBD images as devices, by qemu-storage-daemon over a real cluster.

const signal = AbortSignal.timeout(220_000);
setMaxListeners(0, signal);
const mib = 1024n ** 2n;
const { tools, loops, mounts, filesystems, removeFolder } = await hostBench();

let work: string;
let cluster: CephCluster;
let attacher: QsdAttacher;
let stateDir: string;
const image = { clusterId: 'rook-ceph', pool: 'rbd', image: 'csi-vol-1' };
const place = { pool: 'rbd' };
let request: AttachRequest;
let target: string;

const newAttacher = () =>
  qsdAttacher({
    tools,
    loops,
    mounts,
    daemon: qsdDaemon(tools, systemClock),
    clock: systemClock,
    log: silentLogger,
    stateDir,
  });
const daemons = async () => {
  const found: number[] = [];
  for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name))) {
    const text = await readFile(`/proc/${pid}/cmdline`, 'latin1').catch(() => '');
    if (text.includes('qemu-storage-daemon') && text.includes(stateDir)) found.push(Number(pid));
  }
  return found;
};

beforeAll(async () => {
  work = await makeTestFolder('qsd-');
  cluster = await startCephCluster();
  stateDir = join(work, 'state');
  target = join(work, 'globalmount');
  await mkdir(target);
  attacher = newAttacher();
  const { monHost, user, key } = cluster.connection;
  request = { ...image, monHost, user, key, readOnly: false };
  await cluster.ceph.rbd.create(
    place,
    image.image,
    {
      sizeBytes: 512n * mib,
      features: ['layering', 'exclusive-lock', 'object-map', 'fast-diff', 'deep-flatten'],
    },
    { signal },
  );
});
afterAll(async () => {
  await mounts.unmount(target, { lazy: true }, signal);
  await attacher.detach(image, signal).catch(() => undefined);
  for (const pid of await daemons()) {
    const identity = await identifyProcess(pid);
    if (identity) await signalProcess(identity, 'SIGKILL');
  }
  await cluster?.stop();
  await removeFolder(work, signal);
});

test('attach, format, write, read back, detach: nothing is left but the data', async () => {
  expect(await attacher.unusable([])).toBeUndefined();
  const startedMs = performance.now();
  const device = await attacher.attach(request, signal);
  const attachedMs = performance.now() - startedMs;
  expect(await filesystems.ensure(device.device, 'xfs', signal)).toBe('made');
  await mounts.mount(
    { source: device.device, target, fsType: 'xfs', options: ['nouuid', 'noatime'] },
    signal,
  );
  process.stdout.write(
    `attach ${attachedMs.toFixed(0)} ms, with mkfs and mount ${(performance.now() - startedMs).toFixed(0)} ms\n`,
  );
  const file = await open(join(target, 'hello'), 'w');
  await file.writeFile('from the pod');
  await file.sync();
  await file.close();

  expect(await attacher.attach(request, signal)).toEqual(device);
  expect(await attacher.list(signal)).toEqual([
    { ...image, device: device.device, major: device.major, minor: device.minor, alive: true },
  ]);
  expect(await cluster.ceph.rbd.watchers(place, image.image, { signal })).toEqual([
    {
      address: expect.stringMatching(/^127\.0\.0\.1:0\/\d+$/) as string,
      client: expect.stringMatching(/^client\.\d+$/) as string,
    },
  ]);
  expect(
    await cluster.ceph.rbd
      .remove(place, image.image, { signal })
      .catch((error: { errnoName: string }) => error.errnoName),
  ).toBe('EBUSY');

  const busy = await attacher.detach(image, signal).catch((cause: unknown) => cause);
  expect(isDeviceBusy(busy)).toBe(true);
  expect(String(busy)).toContain(target);
  await mounts.unmount(target, {}, signal);
  await attacher.detach(image, signal);
  await attacher.detach(image, signal);
  expect(await daemons()).toEqual([]);
  expect(await readdir(stateDir)).toEqual([]);
  expect((await mounts.list()).filter((entry) => entry.mountPoint.startsWith(stateDir))).toEqual([]);
  expect((await loops.list(signal)).filter((loop) => loop.backingPath.startsWith(stateDir))).toEqual([]);
  expect(await cluster.ceph.rbd.watchers(place, image.image, { signal })).toEqual([]);
});

test('the key is in files of mode 0600 in a private folder, and nowhere in /proc', async () => {
  await attacher.attach(request, signal);
  const [name] = await readdir(stateDir);
  expect((await stat(join(stateDir, name!))).mode & 0o777).toBe(0o700);
  for (const file of ['keyring', 'ceph.conf', 'ledger.json'])
    expect([file, (await stat(join(stateDir, name!, file))).mode & 0o777]).toEqual([file, 0o600]);
  for (const pid of await daemons())
    for (const file of ['cmdline', 'environ'])
      expect((await readFile(`/proc/${pid}/${file}`, 'latin1')).includes(request.key)).toBe(false);
});

test('another process adopts the device, lets it go with its last user, and grows it', async () => {
  const before = await attacher.attach(request, signal);
  attacher = newAttacher();
  expect(await attacher.attach(request, signal)).toEqual(before);
  expect(await filesystems.ensure(before.device, 'xfs', signal)).toBe('existing');
  await expect(attacher.releaseWithLastUser(image, signal)).rejects.toThrow('not mounted');
  await mounts.mount({ source: before.device, target, fsType: 'xfs', options: ['nouuid'] }, signal);
  expect(await readFile(join(target, 'hello'), 'utf8')).toBe('from the pod');

  const sizeBytes = 768n * mib;
  await cluster.ceph.rbd.resize(place, image.image, sizeBytes, { signal });
  expect(await attacher.resize(image, sizeBytes, signal)).toBe(sizeBytes);
  expect(await attacher.resize(image, 512n * mib, signal)).toBe(sizeBytes);
  await filesystems.grow(before.device, 'xfs', target, signal);

  await attacher.releaseWithLastUser(image, signal);
  expect(await readFile(join(target, 'hello'), 'utf8')).toBe('from the pod');
  await mounts.unmount(target, {}, signal);
  expect((await loops.list(signal)).some((loop) => loop.backingPath.startsWith(stateDir))).toBe(false);
  const again = await attacher.attach(request, signal);
  expect(await loops.sizeBytes(again)).toBe(sizeBytes);
  await attacher.detach(image, signal);
  expect(await daemons()).toEqual([]);
});

test('a daemon killed under a mounted filesystem is seen dead, and the image attaches again with its data', async () => {
  const device = await attacher.attach(request, signal);
  await mounts.mount({ source: device.device, target, fsType: 'xfs', options: ['nouuid'] }, signal);
  const file = await open(join(target, 'synced'), 'w');
  await file.writeFile('before the crash');
  await file.sync();
  await file.close();
  const [watcher] = await cluster.ceph.rbd.watchers(place, image.image, { signal });
  for (const pid of await daemons()) await signalProcess((await identifyProcess(pid))!, 'SIGKILL');
  await systemClock.sleep(200);
  expect(await attacher.list(signal)).toEqual([
    { ...image, device: device.device, major: device.major, minor: device.minor, alive: false },
  ]);

  // The dead client's watch would hold the image for half a minute; fencing it frees the image at once.
  await addToBlocklist(cluster.ceph, watcher!.address, 3600, signal);
  await mounts.unmount(target, { lazy: true }, signal);
  const again = await attacher.attach(request, signal);
  await mounts.mount({ source: again.device, target, fsType: 'xfs', options: ['nouuid'] }, signal);
  expect(await readFile(join(target, 'synced'), 'utf8')).toBe('before the crash');
  await mounts.unmount(target, {}, signal);
  await attacher.detach(image, signal);
  expect(await readdir(stateDir)).toEqual([]);
  expect((await loops.list(signal)).filter((loop) => loop.backingPath.startsWith(stateDir))).toEqual([]);
});

test('a missing image or a wrong key is an error that names the image, and leaves nothing', async () => {
  await expect(attacher.attach({ ...request, image: 'none' }, signal)).rejects.toThrow(/none/);
  const wrongKey = newCephxKey(1);
  const wrong = await attacher.attach({ ...request, key: wrongKey }, signal).catch((cause: unknown) => cause);
  expect(String(wrong)).not.toContain(wrongKey);
  expect(String(wrong)).toMatch(/qemu-storage-daemon/);
  expect(await daemons()).toEqual([]);
  expect(await readdir(stateDir)).toEqual([]);
});

import { setMaxListeners } from 'node:events';
import {
  mkdir,
  mkdtemp,
  open,
  readFile,
  readdir,
  rm,
  stat,
  symlink,
  truncate,
  writeFile,
} from 'node:fs/promises';
import { basename, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { addToBlocklist } from '../../src/ceph/blocklist.ts';
import { newCephxKey } from '../../src/ceph/cephx-key.ts';
import { qsdAttacher, type QsdAttacher } from '../../src/host/attach-qsd.ts';
import type { AttachRequest } from '../../src/host/attacher.ts';
import { isDeviceBusy } from '../../src/host/device-busy.ts';
import { hostDiskScan } from '../../src/host/disks.ts';
import { hostFilesystems, isContentError } from '../../src/host/filesystems.ts';
import { backingOf, hasBacking, hostLoops, type LoopDevice } from '../../src/host/loops.ts';
import { hostMounts, mountAt } from '../../src/host/mounts.ts';
import { qsdDaemon } from '../../src/host/qsd-daemon.ts';
import { hostTools } from '../../src/host/tools.ts';
import { systemClock } from '../../src/lib/clock.ts';
import { silentLogger } from '../../src/lib/log.ts';
import { identifyProcess, signalProcess } from '../../src/lib/process-identity.ts';
import { runCommand } from '../../src/lib/run-command.ts';
import { startCephCluster, type CephCluster } from '../support/ceph-cluster.ts';
import { findCephTree } from '../support/ceph-tree.ts';

const signal = AbortSignal.timeout(220_000);
setMaxListeners(0, signal);
const mib = 1024n ** 2n;
const osdUuid = '0f2a9c52-5d0f-4d0e-9d7b-2f5a3f1f9a01';
const cephFsid = '7b1c2d3e-0000-4000-8000-0000000000aa';

const tree = await findCephTree();
const tools = hostTools({ root: tree.root, env: tree.env });
const loops = hostLoops(tools);
const mounts = hostMounts(tools);
const filesystems = hostFilesystems(tools);

let work: string;
beforeAll(async () => {
  const folder = process.env['HOLDFAST_TEST_DIR'] ?? '/var/tmp/holdfast-tests';
  await mkdir(folder, { recursive: true, mode: 0o700 });
  work = await mkdtemp(join(folder, 'host-'));
});
afterAll(async () => {
  for (const entry of (await mounts.list()).reverse())
    if (entry.mountPoint.startsWith(`${work}/`))
      await mounts.unmount(entry.mountPoint, { lazy: true }, signal);
  for (const loop of await loops.list(signal))
    if (loop.backingPath.startsWith(`${work}/`)) await loops.detach(loop, signal);
  await rm(work, { recursive: true, force: true });
});

async function loopOn(name: string, bytes: bigint): Promise<LoopDevice & { file: string }> {
  const file = join(work, name);
  await writeFile(file, '');
  await truncate(file, Number(bytes));
  return { ...(await loops.attach(file, { directIo: false, readOnly: false }, signal)), file };
}

async function poke(path: string, offset: bigint, text: string): Promise<void> {
  const file = await open(path, 'r+');
  await file.write(Buffer.from(text), 0, undefined, Number(offset));
  await file.sync();
  await file.close();
}

describe('loops', () => {
  test('a file becomes a device known by its numbers, grows with it, and is let go', async () => {
    const loop = await loopOn('grow', 8n * mib);
    expect(hasBacking(loop, await backingOf(loop.file))).toBe(true);
    expect((await stat(loop.device)).rdev).toBe(loop.major * 256 + loop.minor);
    expect(await loops.sizeBytes(loop)).toBe(8n * mib);
    await truncate(loop.file, Number(16n * mib));
    await loops.setCapacity(loop, signal);
    expect(await loops.sizeBytes(loop)).toBe(16n * mib);
    await loops.detach(loop, signal);
    expect((await loops.list(signal)).some((other) => hasBacking(other, loop.backing))).toBe(false);
    await loops.detach(loop, signal);
  });
});

describe('filesystems', () => {
  test.each(['xfs', 'ext4'] as const)(
    '%s is made on a blank device only, and kept ever after',
    async (type) => {
      const loop = await loopOn(`fs-${type}`, 400n * mib);
      expect(await filesystems.probe(loop.device, signal)).toEqual({ kind: 'blank' });
      expect(await filesystems.ensure(loop.device, type, signal)).toBe('made');
      const made = await filesystems.probe(loop.device, signal);
      expect(made).toMatchObject({ kind: 'signature', type, usage: 'filesystem' });
      expect(await filesystems.ensure(loop.device, type, signal)).toBe('existing');
      expect(await filesystems.probe(loop.device, signal)).toEqual(made);
      const other = type === 'xfs' ? 'ext4' : 'xfs';
      const error = await filesystems.ensure(loop.device, other, signal).catch((cause: unknown) => cause);
      expect(isContentError(error)).toBe(true);
      expect(await filesystems.probe(loop.device, signal)).toEqual(made);
      await loops.detach(loop, signal);
    },
  );

  test.each([
    ['first MiB', 700_000n],
    ['last MiB', 64n * mib - 1000n],
  ])('a device with something unknown in its %s is left alone', async (where, offset) => {
    const loop = await loopOn(`unknown-${offset}`, 64n * mib);
    await poke(loop.device, offset, 'precious');
    expect(await filesystems.probe(loop.device, signal)).toEqual({ kind: 'unknown-data', where });
    await expect(filesystems.ensure(loop.device, 'xfs', signal)).rejects.toThrow(`the ${where} is not zero`);
    const file = await open(loop.file, 'r');
    const found = Buffer.alloc(8);
    await file.read(found, 0, 8, Number(offset));
    await file.close();
    expect(found.toString()).toBe('precious');
    await loops.detach(loop, signal);
  });

  test('a device that cannot be read is not taken for blank', async () => {
    const loop = await loopOn('unreadable', 64n * mib);
    await truncate(loop.file, Number(32n * mib)); // The end of the device is gone: reads there are I/O errors.
    expect(await filesystems.probe(loop.device, signal)).toMatchObject({ kind: 'unreadable' });
    await expect(filesystems.ensure(loop.device, 'ext4', signal)).rejects.toThrow('it cannot be read');
    await loops.detach(loop, signal);
  });
});

describe('disks', () => {
  test('a verdict for each disk; only a blank and free one with a name that stays is usable', async () => {
    const dev = join(work, 'dev');
    await mkdir(join(dev, 'disk/by-id'), { recursive: true });
    const made = new Map<string, LoopDevice & { file: string }>();
    for (const name of ['blank', 'xfs', 'data', 'osd', 'mounted', 'unnamed']) {
      const loop = await loopOn(`disk-${name}`, 400n * mib);
      made.set(name, loop);
      await symlink(loop.device, join(dev, basename(loop.device)));
      if (name !== 'unnamed') await symlink(loop.device, join(dev, 'disk/by-id', `test-${name}`));
    }
    await filesystems.ensure(made.get('xfs')!.device, 'xfs', signal);
    await filesystems.ensure(made.get('mounted')!.device, 'xfs', signal);
    await poke(made.get('data')!.device, 500_000n, 'precious');
    const osd = join(work, 'osd');
    await mkdir(osd);
    await symlink(made.get('osd')!.device, join(osd, 'block'));
    await runCommand(
      join(tree.root, 'usr/bin/ceph-osd'),
      [
        '-i',
        '7',
        '--mkfs',
        '--no-mon-config',
        '--osd-data',
        osd,
        '--osd-objectstore',
        'bluestore',
        '--osd-uuid',
        osdUuid,
        '--fsid',
        cephFsid,
        '--log-file',
        '/dev/null',
        '--auth-supported',
        'none',
      ],
      { signal, env: tree.env, timeoutMs: 60_000 },
    );
    const target = join(work, 'disk-mount');
    await mkdir(target);
    await mounts.mount({ source: made.get('mounted')!.device, target, fsType: 'xfs' }, signal);

    const disks = await hostDiskScan({ filesystems, dev })(signal);
    const verdicts = Object.fromEntries(
      disks
        .filter((disk) => disk.name.startsWith('loop'))
        .map((disk) => [basename(disk.paths[1]!), disk.refusal ?? 'usable']),
    );
    expect(verdicts).toEqual({
      'test-blank': 'usable',
      'test-xfs': {
        reason: 'HasFilesystem',
        message: expect.stringMatching(/^it holds xfs \(UUID /) as string,
      },
      'test-data': { reason: 'HasFilesystem', message: 'no known signature, but the first MiB is not zero' },
      'test-osd': {
        reason: 'OtherCluster',
        message: `it holds osd.7 of the Ceph cluster ${cephFsid}`,
        owner: cephFsid,
      },
      'test-mounted': { reason: 'Mounted', message: `it is mounted at ${target}` },
    });
    expect(disks.find((disk) => disk.paths[1]?.endsWith('test-blank'))).toMatchObject({
      sizeBytes: Number(400n * mib),
    });
    await mounts.unmount(target, {}, signal);
    for (const loop of made.values()) await loops.detach(loop, signal);
  });
});

describe('mounts', () => {
  test('mount, bind read-only, grow, unmount; a symlink in the path is refused', async () => {
    const loop = await loopOn('mounted', 400n * mib);
    await filesystems.ensure(loop.device, 'xfs', signal);
    const target = join(work, 'with space');
    const bound = join(work, 'bound');
    for (const path of [target, bound]) await mkdir(path);
    await mounts.mount(
      { source: loop.device, target, fsType: 'xfs', options: ['nouuid', 'noatime'] },
      signal,
    );
    expect(mountAt(await mounts.list(), target)).toMatchObject({
      major: loop.major,
      minor: loop.minor,
      fsType: 'xfs',
    });
    await mounts.bind({ source: target, target: bound, readOnly: true }, signal);
    await writeFile(join(target, 'f'), 'x');
    expect(await readFile(join(bound, 'f'), 'utf8')).toBe('x');
    await expect(writeFile(join(bound, 'g'), 'x')).rejects.toMatchObject({ code: 'EROFS' });

    await truncate(loop.file, Number(500n * mib));
    await loops.setCapacity(loop, signal);
    await filesystems.grow(loop.device, 'xfs', target, signal);

    await symlink(work, join(work, 'link'));
    await expect(
      mounts.bind({ source: target, target: join(work, 'link', 'bound') }, signal),
    ).rejects.toThrow('symbolic link');
    await expect(mounts.bind({ source: target, target: join(work, 'link') }, signal)).rejects.toThrow(
      'symbolic link',
    );
    expect(await mounts.unmount(bound, {}, signal)).toBe(true);
    expect(await mounts.unmount(bound, {}, signal)).toBe(false);
    expect(await mounts.unmount(target, {}, signal)).toBe(true);
    await loops.detach(loop, signal);
  });
});

describe('RBD by qemu-storage-daemon', () => {
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
    const wrong = await attacher
      .attach({ ...request, key: wrongKey }, signal)
      .catch((cause: unknown) => cause);
    expect(String(wrong)).not.toContain(wrongKey);
    expect(String(wrong)).toMatch(/qemu-storage-daemon/);
    expect(await daemons()).toEqual([]);
    expect(await readdir(stateDir)).toEqual([]);
  });
});

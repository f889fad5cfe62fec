import { spawn } from 'node:child_process';
import { once, setMaxListeners } from 'node:events';
import { mkdir, open, readFile, stat, symlink, truncate, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { nbdAttacher } from '../../src/host/attach-nbd.ts';
import { isDeviceBusy } from '../../src/host/device-busy.ts';
import { hostDiskScan } from '../../src/host/disks.ts';
import { isContentError } from '../../src/host/filesystems.ts';
import { imageFileName } from '../../src/host/image-key.ts';
import { backingOf, hasBacking, type LoopDevice } from '../../src/host/loops.ts';
import { mountAt } from '../../src/host/mounts.ts';
import { runCommand } from '../../src/lib/run-command.ts';
import { hostBench } from '../support/host-bench.ts';
import { makeTestFolder } from '../support/test-folder.ts';

const signal = AbortSignal.timeout(220_000);
setMaxListeners(0, signal);
const mib = 1024n ** 2n;
const osdUuid = '0f2a9c52-5d0f-4d0e-9d7b-2f5a3f1f9a01';
const cephFsid = '7b1c2d3e-0000-4000-8000-0000000000aa';

const { tree, tools, loops, mounts, filesystems, removeFolder } = await hostBench();

let work: string;
beforeAll(async () => {
  work = await makeTestFolder('host-');
});
afterAll(async () => await removeFolder(work, signal));

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

test('rbd-nbd: a device that is mounted where we do not see it is not taken away', async () => {
  const loop = await loopOn('hidden', 64n * mib);
  await filesystems.ensure(loop.device, 'ext4', signal);
  const target = join(work, 'hidden-mount');
  await mkdir(target);
  const script = 'mount "$0" "$1" && echo mounted && cat';
  const elsewhere = spawn('unshare', ['--mount', 'sh', '-c', script, loop.device, target]);
  const ended = once(elsewhere, 'close');
  await once(elsewhere.stdout, 'data');
  expect((await mounts.list()).some((mount) => mount.mountPoint === target)).toBe(false);

  // The tool is not in the tree, nor is nbd in every kernel: this plays what it says of one mapped image.
  const image = { clusterId: 'c', pool: 'p', image: 'i' };
  const stateDir = join(work, 'nbd');
  const folder = join(stateDir, imageFileName(image));
  const proc = join(work, 'proc');
  for (const path of [folder, join(proc, '1')]) await mkdir(path, { recursive: true });
  await writeFile(join(folder, 'image.json'), JSON.stringify(image));
  await writeFile(join(proc, '1/cmdline'), `rbd-nbd\0${join(folder, 'ceph.conf')}\0`);
  const asked: string[] = [];
  const run: typeof tools.run = (_tool, [verb = '']) => {
    asked.push(verb);
    const stdout = verb === 'list-mapped' ? JSON.stringify([{ id: 1, device: loop.device }]) : '';
    return Promise.resolve({ stdout, stderr: '' });
  };
  const attacher = nbdAttacher({ tools: { ...tools, path: () => loop.file, run }, mounts, stateDir, proc });
  const refused = await attacher.detach(image, signal).catch((error: unknown) => error);
  expect(isDeviceBusy(refused)).toBe(true);
  expect(asked).not.toContain('unmap');

  elsewhere.stdin.end();
  await ended;
  await attacher.detach(image, signal);
  expect(asked).toContain('unmap');
  await loops.detach(loop, signal);
});

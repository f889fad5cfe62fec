import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, open, readFile, rm, stat, symlink, writeFile, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { deviceNumbers } from '../../src/host/loops.ts';
import { mountAt, parseMountInfo } from '../../src/host/mounts.ts';
import { childRemounter } from '../../src/host/remounter.ts';
import { runCommand } from '../../src/lib/run-command.ts';
import { bundle } from '../support/standalone.ts';
import { makeTestFolder } from '../support/test-folder.ts';

// A volume's mounts as on a node: staged below a shared folder, bound to two pods' paths, one of them read-only, and
// from there into containers, which are mount namespaces of their own. tmpfs stands for the volume's filesystem: no
// I/O is needed to tell the old one from the new one.

const signal = AbortSignal.timeout(110_000);
const remounter = childRemounter({ command: process.execPath, args: [bundle, 'remount'] });
const mount = (...args: string[]) => runCommand('mount', args, { signal });

let work: string;
let kubelet: string;
/** Keeps the old filesystem, and so its device's number, from going to a filesystem of somebody else's. */
let held: FileHandle;
const containers: ChildProcess[] = [];

beforeEach(async () => {
  work = await makeTestFolder('remount-');
  kubelet = join(work, 'kubelet');
  await mkdir(kubelet);
  await mount('-t', 'tmpfs', 'kubelet', kubelet);
  await mount('--make-private', kubelet); // From whatever this machine's root is; then a group of its own.
  await mount('--make-shared', kubelet);
  for (const name of ['staged', 'pod1', 'pod2', 'sub']) await mkdir(join(kubelet, name));
  await mkdir(join(work, 'new'));
  await mount('-t', 'tmpfs', 'old', join(kubelet, 'staged'));
  held = await open(join(kubelet, 'staged'));
  await mkdir(join(kubelet, 'staged/part'));
  await mount('--bind', join(kubelet, 'staged'), join(kubelet, 'pod1'));
  await mount('--bind', join(kubelet, 'staged'), join(kubelet, 'pod2'));
  await mount('-o', 'remount,bind,ro', join(kubelet, 'pod2'));
  await mount('--bind', join(kubelet, 'staged/part'), join(kubelet, 'sub'));
  await mount('-t', 'tmpfs', 'new', join(work, 'new'));
  await mkdir(join(work, 'new/part'));
  await writeFile(join(work, 'new/part/file'), 'of the part');
  await writeFile(join(work, 'new/file'), 'of the whole');
});
afterEach(async () => {
  for (const child of containers.splice(0)) {
    child.kill('SIGKILL');
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
  }
  for (const entry of parseMountInfo(await readFile('/proc/self/mountinfo', 'utf8')).reverse())
    if (entry.mountPoint.startsWith(`${work}/`))
      await runCommand('umount', ['--lazy', entry.mountPoint], { signal });
  await held.close();
  await rm(work, { recursive: true });
});

/** A process in a mount namespace of its own that bound `source` to its own `target`, as a runtime does. */
async function container(source: string, propagation: 'private' | 'slave') {
  const target = join(work, `container${containers.length}`);
  await mkdir(target);
  const script = 'mount --bind "$1" "$2"; echo up; exec sleep 120';
  const child = spawn(
    'unshare',
    ['--mount', '--propagation', propagation, 'sh', '-ec', script, 'sh', source, target],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  containers.push(child);
  await once(child.stdout, 'data');
  const table = async () => parseMountInfo(await readFile(`/proc/${child.pid}/mountinfo`, 'utf8'));
  return {
    target,
    table,
    inside: (path = '') => join(`/proc/${child.pid}/root`, target, path),
    at: async (path: string) => mountAt(await table(), path),
  };
}

const own = async () => parseMountInfo(await readFile('/proc/self/mountinfo', 'utf8'));
const deviceOf = async (path: string) => deviceNumbers((await stat(path, { bigint: true })).dev);

test.each([
  { kernel: 'that mounts under a mount', under: true },
  { kernel: 'before 6.5', under: false },
])('on a kernel $kernel every place gets the new filesystem, with its part and flags', async ({ under }) => {
  const old = await deviceOf(join(kubelet, 'staged'));
  const fresh = await deviceOf(join(work, 'new'));
  const isolated = await container(join(kubelet, 'pod1'), 'private');
  const following = await container(join(kubelet, 'pod1'), 'slave');
  const reader = await container(join(kubelet, 'pod2'), 'private');
  const part = await container(join(kubelet, 'sub'), 'private');

  const report = await remounter({ device: old, source: join(work, 'new'), under }, signal);

  expect(report.failed).toEqual([]);
  const staged = mountAt(await own(), join(kubelet, 'staged'));
  expect(staged).toMatchObject(fresh);
  for (const pod of [isolated, following]) {
    expect(await readFile(pod.inside('file'), 'utf8')).toBe('of the whole');
    await writeFile(pod.inside('written'), 'x');
  }
  expect(await readFile(part.inside('file'), 'utf8')).toBe('of the part');
  expect(await readFile(join(kubelet, 'sub/file'), 'utf8')).toBe('of the part');
  expect(await readFile(reader.inside('file'), 'utf8')).toBe('of the whole');
  await expect(writeFile(reader.inside('written'), 'x')).rejects.toMatchObject({ code: 'EROFS' });
  await expect(writeFile(join(kubelet, 'pod2/written'), 'x')).rejects.toMatchObject({ code: 'EROFS' });

  // Nothing of the old one is left where the kernel can do that, and nowhere does it show.
  for (const look of [own, isolated.table, following.table, reader.table, part.table]) {
    const table = await look();
    const left = table.filter(({ major, minor }) => major === old.major && minor === old.minor);
    expect(left.filter((entry) => mountAt(table, entry.mountPoint) === entry)).toEqual([]);
    if (under) expect(left).toEqual([]);
  }

  // A pod's end takes its own bind away, on the whole node, and nobody else's.
  await runCommand('umount', [join(kubelet, 'pod1')], { signal });
  expect(mountAt(await own(), join(kubelet, 'pod1'))).toBeUndefined();
  expect(mountAt(await own(), join(kubelet, 'staged'))).toMatchObject(fresh);
  expect(await following.at(join(kubelet, 'pod1'))).toBeUndefined();
  expect(await readFile(isolated.inside('file'), 'utf8')).toBe('of the whole');
});

test('a part that the new filesystem lacks, or that is a link in it, is left as it was and named', async () => {
  const old = await deviceOf(join(kubelet, 'staged'));
  await rm(join(work, 'new/part'), { recursive: true });
  await symlink('/etc', join(work, 'new/part'));
  const report = await remounter({ device: old, source: join(work, 'new') }, signal);
  expect(report.failed).toEqual([
    {
      pid: expect.any(Number) as number,
      mountPoint: join(kubelet, 'sub'),
      error: expect.any(String) as string,
    },
  ]);
  expect(mountAt(await own(), join(kubelet, 'sub'))).toMatchObject(old);
  expect(mountAt(await own(), join(kubelet, 'pod1'))).toMatchObject(await deviceOf(join(work, 'new')));
});

test("a device whose number has gone to another use keeps its mounts: they are somebody else's", async () => {
  const old = await deviceOf(join(kubelet, 'staged'));
  const device = { ...old, sequence: '1' }; // A device of memory has no such number at all.
  const report = await remounter({ device, source: join(work, 'new') }, signal);
  expect(report.replaced).toEqual([]);
  expect(report.failed.length).toBeGreaterThan(0);
  expect(mountAt(await own(), join(kubelet, 'staged'))).toMatchObject(old);
});

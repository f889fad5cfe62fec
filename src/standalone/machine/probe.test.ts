import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { probeMachine, refusal } from './probe.ts';

let root: string;

const put = async (files: Readonly<Record<string, string>>) => {
  for (const [name, text] of Object.entries(files)) {
    await mkdir(dirname(join(root, name)), { recursive: true });
    await writeFile(join(root, name), text);
  }
};

const mountsV1 = ['cpu', 'cpuset', 'memory', 'pids', 'devices']
  .map((name) => `1 1 0:1 / /sys/fs/cgroup/${name} rw - cgroup cgroup rw,${name}`)
  .join('\n');

beforeEach(async () => {
  takesProgram = true;
  root = await mkdtemp(join(tmpdir(), 'holdfast-probe-'));
  await put({
    'proc/self/mountinfo': mountsV1,
    'proc/filesystems': 'nodev\tproc\nnodev\toverlay\nnodev\tfuse\n\text4\n',
    'proc/1/comm': 'init\n',
    'proc/sys/kernel/osrelease': '6.1.0-30-amd64\n',
    'dev/loop-control': '',
    ...Object.fromEntries(
      ['cgroup', 'ipc', 'mnt', 'net', 'pid', 'uts'].map((name) => [`proc/self/ns/${name}`, '']),
    ),
  });
});
afterEach(() => rm(root, { recursive: true }));

let takesProgram = true;
const probe = (uid = 0) =>
  probeMachine({ root, uid, canLoadDeviceProgram: () => Promise.resolve(takesProgram) });
const verdictOf = async (name: string) => (await probe()).findings.find((one) => one.name === name)?.verdict;

test('a machine that has everything is not refused', async () => {
  const machine = await probe();
  expect(machine).toMatchObject({ cgroups: 'v1', systemd: false });
  expect(refusal(machine)).toBeUndefined();
});

test('all that is missing is said at once', async () => {
  await put({ 'proc/filesystems': 'nodev\tproc\n', 'proc/self/mountinfo': '' });
  await rm(join(root, 'dev/loop-control'));
  const text = refusal(await probe(1000));
  for (const word of ['root', 'overlay', 'fuse', 'loop-control', 'cgroup']) expect(text).toContain(word);
});

test('a module that can be loaded counts as there', async () => {
  await put({
    'proc/filesystems': 'nodev\tproc\n',
    'lib/modules/6.1.0-30-amd64/modules.dep':
      'kernel/fs/overlayfs/overlay.ko:\nkernel/fs/fuse/fuse.ko:\nkernel/drivers/block/loop.ko:\n',
  });
  await rm(join(root, 'dev/loop-control'));
  expect(refusal(await probe())).toBeUndefined();
});

test('with cgroup v2 alone devices are guarded by a program, and a kernel that takes none is said and not refused', async () => {
  await put({
    'proc/self/mountinfo': '1 1 0:1 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate',
    'sys/fs/cgroup/cgroup.controllers': 'cpuset cpu io memory pids\n',
    'proc/1/comm': 'systemd\n',
  });
  const machine = await probe();
  expect(machine).toMatchObject({ cgroups: 'v2', systemd: true });
  expect(await verdictOf('device-guard')).toBe('ok');
  takesProgram = false;
  expect(await verdictOf('device-guard')).toBe('weaker');
  expect(refusal(await probe())).toBeUndefined();
});

test('a controller that the kernel was started without is named', async () => {
  await put({ 'proc/self/mountinfo': mountsV1.replaceAll('memory', 'blkio') });
  expect(refusal(await probe())).toContain('the cgroup controllers memory are missing');
});

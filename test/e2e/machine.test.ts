import { execFileSync } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import * as grpc from '@grpc/grpc-js';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ContainerState, RuntimeService } from '../../src/gen/runtime/v1/api_pb.js';
import { findHierarchies } from '../../src/lib/cgroup-hierarchies.ts';
import { systemClock } from '../../src/lib/clock.ts';
import { unaryClient } from '../../src/lib/grpc.ts';
import { isRunning, type ProcessIdentity } from '../../src/lib/process-identity.ts';
import { debianImage, pauseImage, treeMounts } from '../../src/standalone/images/base-images.ts';
import {
  containerdSocket,
  importImage,
  importedImages,
  startContainerd,
} from '../../src/standalone/machine/containerd.ts';
import { isUnified, makeGroup } from '../../src/standalone/machine/cgroups.ts';
import { canLoadDeviceProgram, guardDevices } from '../../src/standalone/machine/device-guard.ts';
import { startFabric, stopFabric } from '../../src/standalone/machine/fabric.ts';
import {
  enter,
  removeInstanceGroup,
  startNode,
  stopNode,
  type NodeSpec,
} from '../../src/standalone/machine/virtual-node.ts';
import { findTestTree } from '../support/tree.ts';

const signal = AbortSignal.timeout(200_000);
const deps = { clock: systemClock, signal };
const instanceId = 'fe57c0de';
const host = (file: string, ...args: string[]) => execFileSync(file, args, { encoding: 'utf8' });
const kept: Record<string, ProcessIdentity> = {};
const keep = (name: string) => (identity: ProcessIdentity) => {
  kept[name] = identity;
  return Promise.resolve();
};

let base: string;
let spec: NodeSpec;
let foreign = '';
let before: { mounts: string; links: string; routes: string; forward: string };

const hostState = async () => ({
  mounts: await readFile('/proc/self/mountinfo', 'utf8'),
  links: host('ls', '/sys/class/net'),
  routes: await readFile('/proc/net/route', 'utf8'),
  forward: await readFile('/proc/sys/net/ipv4/ip_forward', 'utf8'),
});

beforeAll(async () => {
  const tree = await findTestTree();
  base = await mkdtemp('/var/tmp/hf-machine-');
  before = await hostState();
  await mkdir(join(base, 'releases'));
  spec = {
    name: 'node1',
    number: 1,
    instanceId,
    tree: tree.path,
    folder: join(base, 'nodes/node1'),
    releases: join(base, 'releases'),
    scripts: resolve(import.meta.dirname, '../../src/standalone/machine'),
    disks: 2,
    diskSizeBytes: 64 * 1024 * 1024,
    ip: '10.254.77.11',
    prefixLength: 24,
    gateway: '10.254.77.1',
    podCidr: '10.254.78.0/24',
    serviceCidr: '10.254.79.0/24',
    peers: [],
  };
  // A blank loop of somebody else's, beside ours.
  await writeFile(join(base, 'foreign.img'), Buffer.alloc(1024 * 1024));
  foreign = host('losetup', '--find', '--show', join(base, 'foreign.img')).trim();
  const fabric = await startFabric(
    {
      tree: tree.path,
      instanceId,
      hostIp: '10.254.77.1',
      prefixLength: 24,
      logFile: join(base, 'fabric.log'),
    },
    deps,
    keep('fabric'),
  );
  await startNode(spec, { ...deps, fabric }, keep('init'));
  await startContainerd(spec, kept['init'] as ProcessIdentity, deps, keep('containerd'));
});

afterAll(async () => {
  if (kept['init']) await stopNode(spec, kept['init'], deps);
  await stopFabric(spec, kept['fabric'], signal);
  await removeInstanceGroup(instanceId, deps);
  if (foreign) host('losetup', '--detach', foreign);
  await rm(base, { recursive: true, force: true });
  // Here and not in a test: nothing of the node may be left after its end.
  expect(host('losetup', '--list', '--noheadings')).not.toContain(base);
  expect(await hostState()).toEqual(before);
  for (const pid of Object.values(kept)) expect(await isRunning(pid)).toBe(false);
  expect(host('find', '/sys/fs/cgroup', '-name', `holdfast-${instanceId}`)).toBe('');
});

const init = () => kept['init'] as ProcessIdentity;
const inside = async (...command: string[]) => (await enter(init(), command, { signal })).stdout;

test('a node sees its own root and disks, and nothing of the host', async () => {
  expect((await inside('/bin/hostname')).trim()).toBe('node1');
  expect(await inside('/bin/ls', '/')).not.toContain('work');
  expect((await inside('/bin/ls', '/dev/disk/by-id')).trim().split('\n')).toEqual([
    'holdfast-node1-disk1',
    'holdfast-node1-disk2',
  ]);
  const mounts = await inside('/bin/cat', '/proc/self/mountinfo');
  expect(mounts).not.toContain(' - ext4 /dev/root');
  expect(mounts.split('\n').filter((line) => / \/home | \/root /.test(line))).toEqual([]);
  expect((await inside('/bin/ps', '-e', '-o', 'comm=')).split('\n')).not.toContain('vitest');
});

test("its disks are readable and writable; somebody else's loop cannot be opened", async () => {
  await inside(
    '/bin/dd',
    'if=/dev/zero',
    'of=/dev/disk/by-id/holdfast-node1-disk1',
    'bs=4096',
    'count=1',
    'oflag=direct',
  );
  const minor = foreign.replace('/dev/loop', '');
  await inside('/bin/mknod', '/dev/foreign', 'b', '7', minor);
  const cgroup = [`/sys/fs/cgroup/devices/holdfast-${instanceId}/node1/node/system/cgroup.procs`, '--'];
  const join = resolve(spec.scripts, 'join-and-run.sh');
  const nsenter = ['nsenter', '--target', String(init().pid), '--all', '--'];
  const read = () =>
    host('/bin/sh', join, ...cgroup, ...nsenter, '/bin/dd', 'if=/dev/foreign', 'of=/dev/null', 'count=1');
  expect(read).toThrow('Operation not permitted');
});

test("where v2 is alone a program denies the same: somebody else's loop, whoever makes its device file", async ({
  skip,
}) => {
  const [v2] = (await findHierarchies()).filter(isUnified);
  if (v2 === undefined) return skip('no hierarchy of v2 is mounted');
  expect(await canLoadDeviceProgram(spec.tree, { signal })).toBe(true);
  // A node's own v2 groups are guarded by v1's devices hierarchy here: this one has the program alone.
  const group = `holdfast-${instanceId}/guarded`;
  const [procs = ''] = await makeGroup([v2], group);
  const own = Number(foreign.replace('/dev/loop', ''));
  const read = () =>
    host(
      '/bin/sh',
      resolve(spec.scripts, 'join-and-run.sh'),
      procs,
      '--',
      'dd',
      `if=${foreign}`,
      'of=/dev/null',
      'count=1',
    );
  expect(await guardDevices([v2], group, new Set([own]), { tree: spec.tree, signal })).toBe(true);
  expect(read()).toBe('');
  expect(await guardDevices([v2], group, new Set([own + 1]), { tree: spec.tree, signal })).toBe(true);
  expect(read).toThrow('Operation not permitted');
});

test("a node's root group holds no process itself, for v2 gives its children no memory limits then", async () => {
  const groups = host('find', '/sys/fs/cgroup', '-path', `*holdfast-${instanceId}/node1/node`).trim();
  for (const group of groups.split('\n'))
    expect(await readFile(join(group, 'cgroup.procs'), 'utf8')).toBe('');
});

test('containerd runs pods on host and pod network from images of ours, without a file of the host', async () => {
  for (const image of [await pauseImage(spec.tree), debianImage()]) {
    const name = `${image.image.replace(/\W+/g, '-')}.tar`;
    await writeFile(join(spec.folder, 'run', name), image.archive.bytes);
    await importImage(init(), `/run/node/${name}`, signal);
  }
  expect([...(await importedImages(init(), signal))]).toEqual(
    expect.arrayContaining(['localhost/pause:1', 'localhost/debian:1']),
  );

  const channel = new grpc.Client(`unix://${containerdSocket(init())}`, grpc.credentials.createInsecure());
  const cri = unaryClient(channel, RuntimeService);
  const run = async (name: string, network: number, command: string[]) => {
    const config = {
      metadata: { name, uid: name, namespace: 'default', attempt: 0 },
      logDirectory: `/var/log/pods/${name}`,
      linux: { securityContext: { namespaceOptions: { network, pid: 1 } } },
    };
    const { podSandboxId } = await cri.runPodSandbox({ config }, { signal });
    const { containerId } = await cri.createContainer(
      {
        podSandboxId,
        sandboxConfig: config,
        config: {
          metadata: { name: 'main', attempt: 0 },
          image: { image: 'localhost/debian:1' },
          command,
          mounts: treeMounts.map((mount) => ({ ...mount, readonly: true })),
          logPath: 'main/0.log',
          linux: {},
        },
      },
      { signal },
    );
    await cri.startContainer({ containerId }, { signal });
    for (;;) {
      const { status } = await cri.containerStatus({ containerId }, { signal });
      if (status?.state === ContainerState.CONTAINER_EXITED) break;
      await systemClock.sleep(20);
    }
    await cri.stopPodSandbox({ podSandboxId }, { signal });
    await cri.removePodSandbox({ podSandboxId }, { signal });
    return await readFile(join(spec.folder, 'log/pods', name, 'main/0.log'), 'utf8');
  };
  try {
    const addresses = '/usr/bin/ip -4 -o addr; ls /; cat /proc/mounts';
    const onHost = await run('on-host', 2, ['/bin/sh', '-c', addresses]);
    expect(onHost).toContain('10.254.77.11/24');
    const onPods = await run('on-pods', 0, ['/bin/sh', '-c', addresses]);
    expect(onPods).toContain('10.254.78.');
    for (const log of [onHost, onPods]) expect(log).not.toMatch(new RegExp(`F (work|${base})$`, 'm'));
  } finally {
    channel.close();
  }
});

test("a loop made inside is one of the node's spare ones, and does not outlive it", async () => {
  await inside('/bin/truncate', '--size=1M', '/var/lib/rook/image');
  const loop = (await inside('/sbin/losetup', '--find', '--show', '/var/lib/rook/image')).trim();
  const index = Number(loop.replace('/dev/loop', ''));
  const spares = JSON.parse(await readFile(join(spec.folder, 'spare-loops.json'), 'utf8')) as number[];
  expect(spares).toContain(index);
  expect(host('ls', '/sys/block').split('\n')).toContain(`loop${index}`);

  await stopNode(spec, init(), deps);

  expect(host('ls', '/sys/block').split('\n')).not.toContain(`loop${index}`);
  expect(host('losetup', '--list', '--noheadings', '--output', 'NAME')).toContain(foreign);
  expect(await isRunning(init())).toBe(false);
  await startNode(spec, { ...deps, fabric: kept['fabric'] as ProcessIdentity }, keep('init'));
  await startContainerd(spec, init(), deps, keep('containerd'));
});

test('disks are found again by their files, whichever loops they had', async () => {
  await inside('/bin/dd', 'if=/etc/hostname', 'of=/dev/disk/by-id/holdfast-node1-disk2', 'conv=fsync');
  const loopsBefore = host('losetup', '--list', '--noheadings', '--output', 'NAME,BACK-FILE');
  await stopNode(spec, init(), deps);
  expect(host('losetup', '--list', '--noheadings', '--output', 'BACK-FILE')).not.toContain(spec.folder);
  await startNode(spec, { ...deps, fabric: kept['fabric'] as ProcessIdentity }, keep('init'));
  await startContainerd(spec, init(), deps, keep('containerd'));
  expect(loopsBefore).toContain('disk2.img');
  expect(await inside('/bin/head', '--bytes=6', '/dev/disk/by-id/holdfast-node1-disk2')).toBe('node1\n');
});

test('a second node over a half-made one cleans up and comes up', async () => {
  process.kill(init().pid, 'SIGKILL');
  while (await isRunning(init())) await systemClock.sleep(20);
  await stopNode(spec, init(), deps);
  await startNode(spec, { ...deps, fabric: kept['fabric'] as ProcessIdentity }, keep('init'));
  await startContainerd(spec, init(), deps, keep('containerd'));
  expect([...(await importedImages(init(), signal))]).toEqual(expect.arrayContaining(['localhost/pause:1']));
});

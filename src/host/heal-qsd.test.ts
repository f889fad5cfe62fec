import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { qsdBench } from './fake/qsd-bench.ts';
import { isHeldDevice } from './heal-qsd.ts';

const { signal } = new AbortController();
const image = { clusterId: 'c', pool: 'p', image: 'i' };
const request = { ...image, monHost: 'h', user: 'client.u', key: 'c2VjcmV0', readOnly: false };
const filesystem = { fsType: 'xfs', options: ['nouuid'] };
const fenced = 'fence i as client.u with c2VjcmV0';

let stateDir: string;
beforeEach(async () => {
  stateDir = await mkdtemp(join(tmpdir(), 'heal-'));
});
afterEach(() => rm(stateDir, { recursive: true }));

/** An image that is mounted at /t, and whose daemon is dead. */
async function deadMount() {
  const bench = await qsdBench(stateDir);
  bench.world.fatal = true;
  const device = await bench.attacher.attach(request, signal);
  await bench.mount(device.device);
  await bench.attacher.releaseWithLastUser(image, signal, filesystem);
  bench.world.fatal = false;
  // The next loop carries the same image.
  bench.host.contents.set('/dev/loop1', {
    kind: 'signature',
    type: 'xfs',
    usage: 'filesystem',
    uuid: undefined,
  });
  bench.world.steps.length = 0;
  return { ...bench, device };
}

test('a dead daemon is fenced, then replaced, and its mounts with it', async () => {
  const { attacher, world, host, present } = await deadMount();
  expect(await attacher.unhealed()).toEqual([image]);

  const report = await attacher.heal(image, signal);

  expect(report).toEqual({ device: '/dev/loop1', replaced: [{ pid: 1, mountPoint: '/t' }], failed: [] });
  expect(world.steps).toEqual([fenced, 'start', 'remount /t']);
  expect(host.table).toMatchObject([{ mountPoint: '/t', minor: 1 }]); // Not where it was mounted for the while.
  expect(present.find(({ minor }) => minor === 1)).toMatchObject({ autoclear: true });
  expect(await attacher.list(signal)).toMatchObject([{ ...image, device: '/dev/loop1', alive: true }]);
  expect(await attacher.unhealed()).toEqual([]);
  expect(await attacher.heal(image, signal)).toBeUndefined();
  await host.mounts.unmount('/t', {}, signal);
  present.length = 0; // By autoclear.
  await attacher.detach(image, signal);
  expect(await readdir(stateDir)).toEqual([]);
});

test('healing that was cut short goes on in the next process, with the daemon that runs already', async () => {
  const { attacher, newAttacher, world } = await deadMount();
  world.remountError = new Error('killed');
  await expect(attacher.heal(image, signal)).rejects.toThrow('killed');
  world.remountError = undefined;

  const next = newAttacher();
  expect(await next.unhealed()).toEqual([image]);
  expect(await next.heal(image, signal)).toMatchObject({ replaced: [{ mountPoint: '/t' }] });

  expect(world.steps).toEqual([fenced, 'start', 'remount /t']);
  expect(await next.unhealed()).toEqual([]);
});

test("a second death while the first is not healed leaves both loops' mounts to be replaced", async () => {
  const { attacher, world, host } = await deadMount();
  world.remountError = new Error('killed');
  world.fatal = true;
  await expect(attacher.heal(image, signal)).rejects.toThrow('killed');
  await host.mounts.mount({ source: '/dev/loop1', target: '/u', fsType: 'xfs' }, signal);
  world.remountError = undefined;
  world.fatal = false;
  host.contents.set('/dev/loop2', { kind: 'signature', type: 'xfs', usage: 'filesystem', uuid: undefined });
  await attacher.heal(image, signal);
  expect(world.steps.slice(-2)).toEqual(['remount /t', 'remount /u']);
});

test("a loop's number that went to another image meanwhile is none of ours any more", async () => {
  const { attacher, world, host, present } = await deadMount();
  world.remountError = new Error('killed');
  await expect(attacher.heal(image, signal)).rejects.toThrow('killed');
  world.remountError = undefined;
  present.find(({ minor }) => minor === 0)!.sequence = '77';
  await attacher.heal(image, signal);
  expect(world.steps).toEqual([fenced, 'start']);
  expect(host.table).toMatchObject([{ mountPoint: '/t', minor: 0 }]);
});

test("after a restart of the node nothing is attached that nobody asked for: it may be another node's by now", async () => {
  const { attacher, world, present, host } = await deadMount();
  world.bootId = 'boot-2';
  expect(await attacher.unhealed()).toEqual([]);
  expect(await attacher.heal(image, signal)).toBeUndefined();
  expect(world.steps).toEqual([]);
  // Staged again, it is an attachment as any other, whatever device has the old number now.
  host.table.length = 0;
  present.length = 0;
  await attacher.attach(request, signal);
  expect(await attacher.unhealed()).toEqual([]);
});

test('what was unmounted while its daemon was dead is not attached again', async () => {
  const { attacher, world, present, host } = await deadMount();
  await host.mounts.unmount('/t', {}, signal);
  present.length = 0; // By autoclear.
  expect(await attacher.unhealed()).toEqual([]);
  expect(await attacher.heal(image, signal)).toBeUndefined();
  expect(world.steps).toEqual([]);
});

test('a stage call that comes first fences too, and leaves the mounts to healing', async () => {
  const { attacher, world } = await deadMount();
  expect(await attacher.attach(request, signal)).toMatchObject({ device: '/dev/loop1', alive: true });
  expect(await attacher.unhealed()).toEqual([image]);
  await attacher.heal(image, signal);
  expect(world.steps).toEqual([fenced, 'start', 'remount /t']);
});

test('a block device gets its daemon back under its number, once nobody has it open', async () => {
  const { attacher, world, present } = await qsdBench(stateDir);
  world.fatal = true;
  await attacher.attach({ ...request, image: 'other' }, signal);
  await attacher.attach(request, signal);
  world.fatal = false;
  world.steps.length = 0;
  const loop = present.find(({ minor }) => minor === 1)!;
  loop.heldElsewhere = true;
  const error = await attacher.heal(image, signal).catch((cause: unknown) => cause);
  expect(isHeldDevice(error)).toBe(true);
  expect(String(error)).toContain('/dev/loop1');
  expect(world.steps).toEqual([]);
  expect(await attacher.unhealed()).toContainEqual(image);

  await attacher.detach({ ...image, image: 'other' }, signal); // Its number would be the next one to be given.
  present.splice(present.indexOf(loop), 1); // The pod closed it, and autoclear took it.
  expect(await attacher.heal(image, signal)).toMatchObject({ device: '/dev/loop1' });
  expect(world.steps).toEqual([fenced, 'start']);
  expect(await attacher.unhealed()).toEqual([]);
});

test('the number that a block device waits for goes to no other image', async () => {
  const { attacher, world, present } = await qsdBench(stateDir);
  world.fatal = true;
  await attacher.attach(request, signal);
  world.fatal = false;
  world.startError = new Error('no mon answers');
  await expect(attacher.heal(image, signal)).rejects.toThrow('no mon');
  expect(present).toEqual([]);
  world.startError = undefined;
  expect(await attacher.attach({ ...request, image: 'other' }, signal)).toMatchObject({
    device: '/dev/loop1',
  });
  expect(await attacher.heal(image, signal)).toMatchObject({ device: '/dev/loop0' });
});

test('a dead block device is let go by detach, though its loop answers nothing any more', async () => {
  const { attacher, world, present } = await qsdBench(stateDir);
  world.fatal = true;
  await attacher.attach(request, signal);
  present[0]!.backing = { major: -1, minor: -1, inode: -1 };
  await attacher.detach(image, signal);
  expect(present).toEqual([]);
  expect(await readdir(stateDir)).toEqual([]);
});

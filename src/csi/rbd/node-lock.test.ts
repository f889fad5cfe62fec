import { beforeEach, expect, test } from 'vitest';
import { fakeCeph, type FakeCeph } from '../../ceph/fake/fake-ceph.ts';
import { attachedNode, lockForNode, unlockNode, type LockNode } from './node-lock.ts';

const options = { signal: new AbortController().signal };
const place = { pool: 'p' };
const header = 'rbd_header.i1';
const beforeRestart = { name: 'a', bootId: 'boot-1' };
const afterRestart = { name: 'a', bootId: 'boot-2' };

let ceph: FakeCeph;
beforeEach(() => {
  ceph = fakeCeph({ pools: ['p'] });
});
// Each by a client of its own, as after a restart of the controller.
const lock = (node: LockNode) =>
  lockForNode(ceph.connect(), place, { imageId: 'i1', handle: 'h', node }, options);
const cookies = async () =>
  (await ceph.objects.lockHolders(place, header, 'holdfast.node', options)).map(({ cookie }) => cookie);

test('the lock names the node and its start; taken twice it is one lock', async () => {
  await lock(beforeRestart);
  await lock(beforeRestart);
  expect(await cookies()).toEqual(['node:a boot:boot-1']);
  expect(await attachedNode(ceph, place, 'i1', options)).toBe('a');
  await expect(lock({ name: 'b', bootId: 'boot-9' })).rejects.toThrow('attached to node a:');
});

test('what a node had before its restart is taken anew by it, and stays closed to others', async () => {
  await lock(beforeRestart);
  await expect(lock({ name: 'b', bootId: 'boot-9' })).rejects.toThrow('attached to node a:');
  await lock(afterRestart);
  expect(await cookies()).toEqual(['node:a boot:boot-2']);
});

test('a lock of an older build, or of a node whose start is not known, is as good as one with it', async () => {
  await ceph
    .connect()
    .objects.lock(place, header, { name: 'holdfast.node', cookie: 'node:a', description: '' }, options);
  await lock(afterRestart);
  expect(await cookies()).toEqual(['node:a']);
  expect(await attachedNode(ceph, place, 'i1', options)).toBe('a');
  await expect(lock({ name: 'b' })).rejects.toThrow('attached to node a:');
  await unlockNode(ceph, place, { imageId: 'i1', node: 'b' }, options);
  expect(await cookies()).toEqual(['node:a']);
  await unlockNode(ceph, place, { imageId: 'i1', node: 'a' }, options);
  expect(await cookies()).toEqual([]);
  await lock(beforeRestart);
  await lock({ name: 'a' });
  expect(await cookies()).toEqual(['node:a boot:boot-1']);
});

test('a node gives its lock back whichever start of it took it', async () => {
  await lock(beforeRestart);
  await unlockNode(ceph, place, { imageId: 'i1', node: 'a' }, options);
  expect(await cookies()).toEqual([]);
});

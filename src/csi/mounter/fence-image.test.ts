import { beforeEach, expect, test } from 'vitest';
import { cephError } from '../../ceph/errno.ts';
import { fakeCeph, type FakeCeph } from '../../ceph/fake/fake-ceph.ts';
import { virtualClock, type VirtualClock } from '../../lib/clock.ts';
import { silentLogger } from '../../lib/log.ts';
import type { Fence } from '../../host/qsd-steps.ts';
import { lockForNode, unlockNode } from '../rbd/node-lock.ts';
import { imageFence } from './fence-image.ts';

const { signal } = new AbortController();
const place = { pool: 'p' };
const request = {
  clusterId: 'c',
  pool: 'p',
  image: 'i',
  monHost: 'h',
  user: 'csi-rbd-node',
  key: 'k',
  readOnly: false,
};
const own = '10.1.0.2:0/77';
const elsewhere = '10.1.0.3:0/78';

let ceph: FakeCeph;
let clock: VirtualClock;
let fence: Fence;
beforeEach(async () => {
  clock = virtualClock();
  ceph = fakeCeph({ clock, pools: ['p'] });
  await ceph.rbd.create(place, 'i', { sizeBytes: 1n, features: ['layering'] }, { signal });
  const addresses = () => new Set(['127.0.0.1', '10.1.0.2']);
  fence = imageFence({ openCeph: ceph.open, clock, log: silentLogger, node: 'n1', addresses });
});

/** What a promise came to, with the clock advanced until it did. */
async function settled(
  promise: Promise<void>,
  limitMs: number,
): Promise<{ error?: unknown; tookMs: number }> {
  const startMs = clock.now();
  const outcomes: { error?: unknown }[] = [];
  void promise.then(
    () => outcomes.push({}),
    (error: unknown) => outcomes.push({ error }),
  );
  while (outcomes.length === 0 && clock.now() - startMs < limitMs) await clock.advance(100);
  if (outcomes.length === 0) throw new Error(`not settled within ${limitMs} ms`);
  return { ...outcomes[0], tookMs: clock.now() - startMs };
}

test("this node's clients of the image are fenced, those of other nodes are not", async () => {
  ceph.watch(place, 'i', own);
  ceph.watch(place, 'i', elsewhere);
  const { error, tookMs } = await settled(fence(request, signal), 1000);
  expect(error).toBeUndefined();
  expect(tookMs).toBeLessThanOrEqual(200);
  expect([...ceph.state.blocklist.keys()]).toEqual([own]);
  const left = await ceph.rbd.watchers(place, 'i', { signal });
  expect(left.map(({ address }) => address)).toEqual([elsewhere]);
});

test('a user who may not fence waits until the dead client has lost its watch', async () => {
  const watch = ceph.watch(place, 'i', own);
  ceph.failAt('osd blocklist', cephError('EACCES', 'osd blocklist', 'access denied'));
  const pending = fence(request, signal);
  await clock.advance(25_000);
  watch[Symbol.dispose]();
  const { error } = await settled(pending, 1000);
  expect(error).toBeUndefined();
  expect(ceph.state.blocklist.size).toBe(0);
});

test('a client that neither can be fenced nor goes keeps the image: the next try is later', async () => {
  ceph.watch(place, 'i', own);
  ceph.failAt('osd blocklist', cephError('EACCES', 'osd blocklist', 'access denied'));
  const { error } = await settled(fence(request, signal), 60_000);
  expect(String(error)).toContain(`i is still open by ${own}`);
});

test('an image for one node at a time is healed where its lock is, and nowhere else', async () => {
  ceph.watch(place, 'i', own);
  const exclusive = { ...request, exclusive: true };
  expect(String((await settled(fence(exclusive, signal), 1000)).error)).toContain('no node has its lock');
  const imageId = (await ceph.rbd.info(place, 'i', { signal }))!.id;
  const lock = (name: string) =>
    lockForNode(ceph.connect(), place, { imageId, handle: 'h', node: { name } }, { signal });
  await lock('n2');
  expect(String((await settled(fence(exclusive, signal), 1000)).error)).toContain('node n2 has it');
  expect(ceph.state.blocklist.size).toBe(0);
  await unlockNode(ceph, place, { imageId, node: 'n2' }, { signal });
  await lock('n1');
  expect((await settled(fence(exclusive, signal), 1000)).error).toBeUndefined();
  expect(ceph.state.blocklist.size).toBe(1);
});

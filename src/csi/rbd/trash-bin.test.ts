import { expect, onTestFinished, test } from 'vitest';
import { z } from 'zod';
import { cephError } from '../../ceph/errno.ts';
import { fakeCeph } from '../../ceph/fake/fake-ceph.ts';
import { virtualClock } from '../../lib/clock.ts';
import { silentLogger } from '../../lib/log.ts';
import { trashBin } from './trash-bin.ts';

const place = { pool: 'rbd', namespace: undefined };
const options = { signal: new AbortController().signal };

async function bench(...images: string[]) {
  const ceph = fakeCeph();
  const clock = virtualClock();
  const stop = new AbortController();
  onTestFinished(() => stop.abort());
  await ceph.mon({ prefix: 'osd pool create', pool: 'rbd', pg_num: 8 }, z.unknown(), options);
  for (const name of images)
    await ceph.rbd.create(place, name, { sizeBytes: 1024n ** 2n, features: [] }, options);
  const trash = trashBin({ clock, log: silentLogger, signal: stop.signal });
  const take = async (name: string) => {
    const image = await ceph.rbd.info(place, name, options);
    await trash.take(ceph, place, { id: image?.id ?? '', name }, options);
    trash.empty(ceph, place);
  };
  const left = async () => (await ceph.rbd.trashList(place, options)).map(({ name }) => name);
  return { ceph, clock, trash, take, left };
}

test('an image that is moved while another is removed is not forgotten', async () => {
  const { ceph, trash, take, left } = await bench('first', 'second');
  const image = await ceph.rbd.info(place, 'second', options);
  // The second delete moves its image just after the first one's round has looked into the trash.
  let looked = 0;
  const between = {
    ...ceph,
    rbd: {
      ...ceph.rbd,
      trashList: async (...call: Parameters<typeof ceph.rbd.trashList>) => {
        const answer = await ceph.rbd.trashList(...call);
        if (looked++ === 0) await ceph.rbd.trashMove(place, 'second', 0, options);
        return answer;
      },
    },
  };
  await ceph.objects.omapSet(place, 'holdfast.trash', new Map([[image?.id ?? '', 'second']]), options);
  trash.empty(between, place);
  await trash.idle();
  expect(looked).toBeGreaterThan(0);
  expect(await left()).toEqual([]);

  await take('first');
  await trash.idle();
  expect(await left()).toEqual([]);
  expect((await ceph.objects.omapList(place, 'holdfast.trash', options)).size).toBe(0);
});

test('what cannot be removed now is removed later, without another call', async () => {
  const { ceph, clock, trash, take, left } = await bench('busy');
  ceph.failAt('rbd trash remove', cephError('EBUSY', 'rbd trash remove', 'busy'), 2);
  await take('busy');
  await trash.idle();
  expect(await left()).toEqual(['busy']);
  await clock.advance(6_000);
  expect(await left()).toEqual(['busy']);
  await clock.advance(11_000);
  expect(await left()).toEqual([]);
});

test('what somebody else put into the trash stays there', async () => {
  const { ceph, trash, take, left } = await bench('kept', 'deleted');
  await ceph.rbd.trashMove(place, 'kept', 0, options);
  await take('deleted');
  await trash.idle();
  expect(await left()).toEqual(['kept']);
});

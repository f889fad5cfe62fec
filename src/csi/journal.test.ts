import { expect, test } from 'vitest';
import { z } from 'zod';
import { fakeCeph } from '../ceph/fake/fake-ceph.ts';
import type { Ceph, CephCallOptions } from '../ceph/seam.ts';
import * as journal from './journal.ts';
import { forget, readEntry, uuidOf, type JournalPlaces, type Reservation } from './journal.ts';

const options = { signal: new AbortController().signal };
const theirs = 'c530ba07-fcdd-11ea-a0e2-4efdc282348e';
const wanted = { requestName: 'pvc-1', namePrefix: 'csi-vol-', owner: 'team-a' };

const reserve = async (ceph: Ceph, places: JournalPlaces, one: Reservation, own: CephCallOptions) => {
  const traces = await journal.readTraces(ceph, places, one.requestName, own);
  return await journal.reserve(ceph, places, one, traces, own);
};

async function bench() {
  const ceph = fakeCeph();
  for (const pool of ['rbd', 'fast'])
    await ceph.mon({ prefix: 'osd pool create', pool, pg_num: 8 }, z.unknown(), options);
  const place = { pool: 'rbd' };
  const places = { journal: place, journalPoolId: 1, image: place, imagePoolId: 1 };
  const omap = async (pool: string, object: string) =>
    Object.fromEntries(await ceph.objects.omapList({ pool }, object, options));
  return { ceph, place, places, omap };
}

test('an entry has the objects and keys that ceph-csi reads', async () => {
  const { ceph, places, omap } = await bench();
  const { uuid } = await reserve(ceph, places, wanted, options);
  expect(await omap('rbd', 'csi.volumes.default')).toEqual({ 'csi.volume.pvc-1': uuid });
  expect(await omap('rbd', `csi.volume.${uuid}`)).toEqual({
    'csi.volname': 'pvc-1',
    'csi.imagename': `csi-vol-${uuid}`,
    'csi.volume.owner': 'team-a',
  });
});

test('an image in another pool than the journal is found from both ends', async () => {
  const { ceph, places, omap } = await bench();
  const apart = { ...places, image: { pool: 'fast' }, imagePoolId: 2 };
  const { uuid } = await reserve(ceph, apart, wanted, options);
  expect(await omap('rbd', 'csi.volumes.default')).toEqual({
    'csi.volume.pvc-1': `0000000000000002/${uuid}`,
  });
  expect(await omap('fast', `csi.volume.${uuid}`)).toMatchObject({ 'csi.journalpool': '0000000000000001' });
  expect(await reserve(ceph, apart, wanted, options)).toMatchObject({ uuid, journalPoolId: 1 });
  await expect(reserve(ceph, places, wanted, options)).rejects.toThrow('already in the pool with id 2');
});

test('what ceph-csi reserved is used as it is, and is forgotten whole', async () => {
  const { ceph, place, places, omap } = await bench();
  await ceph.objects.omapSet(place, 'csi.volumes.default', new Map([['csi.volume.pvc-1', theirs]]), options);
  const keys = new Map([
    ['csi.volname', 'pvc-1'],
    ['csi.imagename', 'mine-1'],
    ['csi.imageid', 'abc'],
  ]);
  await ceph.objects.omapSet(place, `csi.volume.${theirs}`, keys, options);
  const entry = await reserve(ceph, places, wanted, options);
  expect(entry).toMatchObject({ uuid: theirs, imageName: 'mine-1', imageId: 'abc' });
  await forget(ceph, place, place, entry, options);
  expect(await omap('rbd', 'csi.volumes.default')).toEqual({});
  expect(await readEntry(ceph, place, theirs, options)).toBeUndefined();
});

test('an entry that another driver made before is taken over, and nothing of ours is made beside it', async () => {
  const { ceph, place, places, omap } = await bench();
  await ceph.objects.omapSet(place, 'csi.volumes.default', new Map([['csi.volume.pvc-1', theirs]]), options);
  expect(await reserve(ceph, places, wanted, options)).toMatchObject({ uuid: theirs });
  expect(await omap('rbd', `csi.volume.${uuidOf('pvc-1')}`)).toEqual({});
});

test('two calls of ours for one name, one by a leader that was replaced, mean one volume', async () => {
  const { ceph, places, omap } = await bench();
  const [one, other] = await Promise.all([
    reserve(ceph, places, wanted, options),
    reserve(ceph, places, wanted, options),
  ]);
  expect(one).toEqual(other);
  expect(await omap('rbd', 'csi.volumes.default')).toEqual({ 'csi.volume.pvc-1': one.uuid });
});

test('a name given to a new volume since is not taken from it', async () => {
  const { ceph, place, places, omap } = await bench();
  const { uuid } = await reserve(ceph, places, wanted, options);
  await forget(ceph, place, place, { requestName: 'pvc-1', uuid: theirs }, options);
  expect(await omap('rbd', 'csi.volumes.default')).toEqual({ 'csi.volume.pvc-1': uuid });
});

test('a journal that contradicts itself is reported, never repaired by guessing', async () => {
  const { ceph, place, places } = await bench();
  await ceph.objects.omapSet(place, 'csi.volumes.default', new Map([['csi.volume.pvc-1', theirs]]), options);
  await ceph.objects.omapSet(place, `csi.volume.${theirs}`, new Map([['csi.volname', 'pvc-2']]), options);
  await expect(reserve(ceph, places, wanted, options)).rejects.toThrow('belongs to pvc-2');
  await ceph.objects.omapSet(place, 'csi.volumes.default', new Map([['csi.volume.pvc-1', 'junk']]), options);
  await expect(reserve(ceph, places, wanted, options)).rejects.toThrow('malformed');
});

import { expect } from 'vitest';
import { imagesIn } from '../../../src/ceph/pools.ts';
import { proveWrite } from '../../../src/ceph/write-proof.ts';
import { nameOf, options, rbd, signal, type Conformance } from './backend.ts';

const sizeBytes = 64n * 1024n ** 2n;
const space = { pool: 'rbd', namespace: 'csi' };
const features = ['layering', 'exclusive-lock', 'object-map', 'fast-diff', 'deep-flatten'];

/** What the CSI driver does with objects, locks and images. */
export const data: Conformance = {
  async 'objects and omaps'({ ceph }) {
    const { objects } = ceph;
    await objects.createExclusive(space, 'o', options);
    expect(await nameOf(objects.createExclusive(space, 'o', options))).toBe('EEXIST');
    expect(await nameOf(objects.createExclusive({ pool: 'none' }, 'o', options))).toBe('ENOENT');
    expect(await objects.omapGet(rbd, 'o', ['a'], options)).toEqual(new Map()); // Another namespace.
    const values = new Map([
      ['a', '1'],
      ['b', 'zwölf'],
      ['c', ''],
    ]);
    await objects.omapSet(space, 'o', values, options);
    expect(await objects.omapGet(space, 'o', ['a', 'b', 'c', 'd'], options)).toEqual(values);
    expect(await objects.omapGet(space, 'o', [], options)).toEqual(new Map());
    await objects.omapRemove(space, 'o', ['a', 'nope'], options);
    expect([...(await objects.omapList(space, 'o', options)).keys()]).toEqual(['b', 'c']);
    expect(await objects.omapGet(space, 'absent', ['a'], options)).toEqual(new Map());
    expect(await objects.omapList(space, 'absent', options)).toEqual(new Map());

    const many = new Map(
      Array.from({ length: 2500 }, (_, at) => [`k${String(at).padStart(5, '0')}`, `v${at}`]),
    );
    await objects.omapSet(space, 'many', many, options);
    expect(await objects.omapList(space, 'many', options)).toEqual(many);
    expect([
      ...(await objects.omapList(space, 'many', { ...options, after: 'k00001', limit: 2 })).keys(),
    ]).toEqual(['k00002', 'k00003']);

    await objects.omapSet(space, 'made-by-set', new Map([['k', 'v']]), options);
    await objects.omapRemove(space, 'made-by-remove', ['k'], options);
    for (const object of ['o', 'many', 'made-by-set', 'made-by-remove'])
      expect([object, await objects.remove(space, object, options)]).toEqual([object, true]);
    expect(await objects.remove(space, 'o', options)).toBe(false);
    await proveWrite(ceph, 'rbd', 'token', options);
  },
  async 'locks: one holder, told apart by client and cookie, broken by a third'({ ceph, other }) {
    const { objects } = ceph;
    const lock = { name: 'attach', cookie: 'node-a', description: 'for a test' };
    expect(await objects.lockHolders(rbd, 'locked', 'attach', options)).toEqual([]);
    await objects.lock(rbd, 'locked', lock, options);
    expect(await nameOf(objects.lock(rbd, 'locked', lock, options))).toBe('EEXIST');
    expect(await nameOf(objects.lock(rbd, 'locked', { ...lock, cookie: 'node-b' }, options))).toBe('EBUSY');
    expect(await nameOf(other.objects.lock(rbd, 'locked', lock, options))).toBe('EBUSY');
    expect(await nameOf(other.objects.unlock(rbd, 'locked', lock, options))).toBe('ENOENT');
    const [holder, ...rest] = await other.objects.lockHolders(rbd, 'locked', 'attach', options);
    expect(rest).toEqual([]);
    expect(holder).toMatchObject({ cookie: 'node-a' });
    expect(holder?.client).toMatch(/^client\.\d+$/);
    expect(holder?.address).toMatch(/^[\d.]+:0\/\d+$/);
    await other.objects.breakLock(rbd, 'locked', 'attach', holder!, options);
    expect(await nameOf(other.objects.breakLock(rbd, 'locked', 'attach', holder!, options))).toBe('ENOENT');
    await other.objects.lock(rbd, 'locked', lock, options);
    await other.objects.unlock(rbd, 'locked', lock, options);
    expect(await nameOf(objects.unlock(rbd, 'locked', lock, options))).toBe('ENOENT');
    expect(await nameOf(objects.unlock(rbd, 'absent', lock, options))).toBe('ENOENT');
    await objects.remove(rbd, 'locked', options);
  },
  async 'fifty races for one lock from two clients: one wins each time'({ ceph, other }) {
    const outcomes = new Set<string>();
    for (let round = 0; round < 50; round++) {
      const lock = (cookie: string) => ({ name: 'attach', cookie, description: '' });
      const results = await Promise.all([
        nameOf(ceph.objects.lock(rbd, 'raced', lock('node-a'), options)),
        nameOf(other.objects.lock(rbd, 'raced', lock('node-b'), options)),
      ]);
      outcomes.add([...results].sort().join(' '));
      const [holder] = await ceph.objects.lockHolders(rbd, 'raced', 'attach', options);
      expect(holder?.cookie).toBe(results[0] === 'no error' ? 'node-a' : 'node-b');
      await ceph.objects.breakLock(rbd, 'raced', 'attach', holder!, options);
    }
    expect([...outcomes]).toEqual(['EBUSY no error']);
    await ceph.objects.remove(rbd, 'raced', options);
  },
  async 'images: made, described, listed, grown, removed'({ ceph }) {
    await ceph.rbd.create(rbd, 'i', { sizeBytes, features }, options);
    expect(await nameOf(ceph.rbd.create(rbd, 'i', { sizeBytes, features }, options))).toBe('EEXIST');
    expect(await nameOf(ceph.rbd.create(rbd, 'j', { sizeBytes, features: ['colour'] }, options))).toBe(
      'EINVAL',
    );
    expect(await nameOf(ceph.rbd.create({ pool: 'none' }, 'j', { sizeBytes, features }, options))).toBe(
      'ENOENT',
    );
    const info = await ceph.rbd.info(rbd, 'i', options);
    expect(info).toMatchObject({ sizeBytes, features, objectSizeBytes: 4 * 1024 ** 2 });
    expect(await ceph.rbd.info(rbd, 'none', options)).toBeUndefined();
    await ceph.rbd.create(
      rbd,
      'plain',
      { sizeBytes, features: ['layering'], objectSizeBytes: 1024 ** 2 },
      options,
    );
    expect(await ceph.rbd.info(rbd, 'plain', options)).toMatchObject({
      features: ['layering'],
      objectSizeBytes: 1024 ** 2,
    });
    const listed = await ceph.rbd.list(rbd, options);
    expect(listed.map((image) => image.name).sort()).toEqual(['i', 'plain']);
    expect(listed).toContainEqual({ id: info?.id, name: 'i' });
    expect(await ceph.rbd.watchers(rbd, 'i', options)).toEqual([]);
    expect(await nameOf(ceph.rbd.watchers(rbd, 'none', options))).toBe('ENOENT');
    expect(await imagesIn(ceph, 'rbd', signal)).toMatchObject({ trash: [] });

    await ceph.rbd.resize(rbd, 'i', sizeBytes * 2n, options);
    expect((await ceph.rbd.info(rbd, 'i', options))?.sizeBytes).toBe(sizeBytes * 2n);
    expect(await nameOf(ceph.rbd.resize(rbd, 'i', sizeBytes, options))).toBe('EINVAL');
    expect(await nameOf(ceph.rbd.resize(rbd, 'none', sizeBytes, options))).toBe('ENOENT');
    expect(await ceph.rbd.metadataGet(rbd, 'i', 'k', options)).toBeUndefined();
    await ceph.rbd.metadataSet(rbd, 'i', 'k', 'v'.repeat(2000), options);
    expect(await ceph.rbd.metadataGet(rbd, 'i', 'k', options)).toBe('v'.repeat(2000));

    // The image's header is an object like others: the lock that guards an attachment lives there.
    const header = `rbd_header.${info?.id}`;
    await ceph.objects.lock(rbd, header, { name: 'holdfast', cookie: 'c', description: '' }, options);
    await ceph.objects.unlock(rbd, header, { name: 'holdfast', cookie: 'c' }, options);
    for (const image of ['i', 'plain']) expect(await ceph.rbd.remove(rbd, image, options)).toBe(true);
  },
  async 'trash: moved, listed, removed, and kept until its time'({ ceph }) {
    await ceph.rbd.create(rbd, 'i', { sizeBytes, features }, options);
    await ceph.rbd.create(rbd, 'plain', { sizeBytes, features: ['layering'] }, options);
    const info = await ceph.rbd.info(rbd, 'i', options);
    expect(await ceph.rbd.trashMove(rbd, 'i', 0, options)).toBe(true);
    expect(await ceph.rbd.trashMove(rbd, 'i', 0, options)).toBe(false);
    expect(await ceph.rbd.info(rbd, 'i', options)).toBeUndefined();
    expect(await ceph.rbd.trashList(rbd, options)).toEqual([{ id: info?.id, name: 'i' }]);
    expect(await ceph.rbd.trashRemove(rbd, info!.id, options)).toBe(true);
    expect(await ceph.rbd.trashRemove(rbd, info!.id, options)).toBe(false);
    expect(await ceph.rbd.trashMove(rbd, 'plain', 3600, options)).toBe(true);
    const [deferred] = await ceph.rbd.trashList(rbd, options);
    expect(await nameOf(ceph.rbd.trashRemove(rbd, deferred!.id, options))).toBe('EPERM');
    expect(await ceph.objects.remove(rbd, `rbd_header.${info?.id}`, options)).toBe(false);
  },
  async namespaces({ ceph }) {
    expect(
      await nameOf(ceph.rbd.create({ pool: 'rbd', namespace: 'new' }, 'n', { sizeBytes, features }, options)),
    ).toBe('ENOENT');
    await ceph.rbd.createNamespace(space, options);
    await ceph.rbd.createNamespace(space, options);
    await ceph.rbd.create(space, 'n', { sizeBytes, features }, options);
    expect(await ceph.rbd.list(rbd, options)).toEqual([]);
    expect((await ceph.rbd.list(space, options)).map((image) => image.name)).toEqual(['n']);
    expect(await ceph.rbd.remove(space, 'n', options)).toBe(true);
    expect(await ceph.rbd.remove(space, 'n', options)).toBe(false);
    await ceph.rbd.initPool(rbd, options);
  },
};

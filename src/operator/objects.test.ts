import { describe, expect, test } from 'vitest';
import type { Secret } from 'kubernetes-types/core/v1.js';
import { Secrets } from '../api/core.ts';
import { refOf, type Stored } from '../api/resource.ts';
import type { CacheSet } from '../kube/cache-set.ts';
import type { KubeClient } from '../kube/client.ts';
import { LeavingError } from './leaving.ts';
import { ownedObjects } from './objects.ts';

const { signal } = new AbortController();
const ref = { namespace: 'rook-ceph', name: 'rook-ceph-mon' };
const wanted = (owner: string): Secret => ({
  metadata: {
    ...ref,
    ownerReferences: [{ apiVersion: 'ceph.rook.io/v1', kind: 'CephCluster', name: 'c', uid: owner }],
  },
});
const stored = (owner: string, rest: object = {}): Stored<Secret> =>
  ({
    ...wanted(owner),
    metadata: { ...wanted(owner).metadata, uid: 'u', resourceVersion: '1', ...rest },
  }) as Stored<Secret>;

/** One object that the cache has, another that the API has, and what was asked of the API. */
function bench(cached: Stored<Secret> | undefined, live: Stored<Secret> | undefined) {
  const asked: string[] = [];
  const seen = new Map(cached ? [[cached.metadata.name, cached]] : []);
  const cache = {
    synced: () => Promise.resolve(),
    get: ({ name }: { name: string }) => seen.get(name),
    remember: (object: Stored<Secret>) => void seen.set(refOf(object).name, object),
  };
  const client = {
    get: () => Promise.resolve((asked.push('get'), live)),
    create: (_: unknown, object: Secret) =>
      Promise.resolve((asked.push('create'), { ...object, metadata: { ...object.metadata, uid: 'new' } })),
    patch: (_: unknown, __: unknown, { body }: { body: object }) =>
      Promise.resolve((asked.push('patch'), { ...stored('one'), ...body })),
  };
  const caches = { cache: () => cache } as unknown as CacheSet;
  return { asked, objects: ownedObjects(client as unknown as KubeClient, caches) };
}

describe('what lasts as long as its owner', () => {
  test('costs no request while the cache has it with that owner', async () => {
    const { asked, objects } = bench(stored('one'), stored('one'));
    expect(await objects.createLasting(Secrets, wanted('one'), signal)).toMatchObject({
      metadata: { uid: 'u' },
    });
    expect(asked).toEqual([]);
  });

  test.each([
    ['is not there', undefined],
    ['belongs to an earlier owner of that name', stored('another')],
    ['is being deleted', stored('one', { deletionTimestamp: '2026-01-01T00:00:00Z' })],
  ])('is asked for and made where the cache’s %s', async (_, cached) => {
    const { asked, objects } = bench(cached, undefined);
    expect(await objects.createLasting(Secrets, wanted('one'), signal)).toMatchObject({
      metadata: { uid: 'new' },
    });
    expect(asked).toEqual(['get', 'create']);
  });
});

test.each([
  ['belongs to an earlier owner of that name', stored('another')],
  ['is being deleted', stored('one', { deletionTimestamp: '2026-01-01T00:00:00Z' })],
])('what is made once is not taken over where it %s: it is about to go', async (_, live) => {
  const { asked, objects } = bench(undefined, live);
  await expect(objects.createOnce(Secrets, wanted('one'), signal)).rejects.toThrow(LeavingError);
  expect(asked).toEqual(['get']);
});

test.each([
  ['has no owner: somebody restored it', stored('one', { ownerReferences: [] })],
  [
    'has an owner of another name',
    stored('one', { ownerReferences: [{ apiVersion: 'v1', kind: 'ConfigMap', name: 'c', uid: 'another' }] }),
  ],
])('what is made once is taken as it is where it %s', async (_, live) => {
  const { objects } = bench(undefined, live);
  expect(await objects.createOnce(Secrets, wanted('one'), signal)).toBe(live);
});

test('the next look sees what was merged, before any watch brings it', async () => {
  const { objects } = bench(stored('one'), stored('one'));
  await objects.merge(Secrets, ref, { data: { fsid: 'eA==' } }, signal);
  expect(await objects.get(Secrets, ref, signal)).toMatchObject({ data: { fsid: 'eA==' } });
});
